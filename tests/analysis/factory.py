"""Results folders with made-up records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ofb_ray.config.yaml12 import dump
from ofb_ray.results.files import Progress, TrialFile, trial_folder
from ofb_ray.results.records import BudgetOutcome, Network, Record, write_record

DENSE = Network(macs=1_000_000, params=205_000, top1_val=98.6, top1_test=98.2)
MINIMUM = 120_000


def widths(embed: int, depth: int = 4) -> dict[str, Any]:
    """An `arch.json` of `depth` blocks; the first block has one head more than the others."""
    found: dict[str, Any] = {"embed": {"heads": 1, "width": embed}}
    for block in range(depth):
        found[f"blocks.{block}.attn"] = {"heads": 3 if block == 0 else 2, "width": 16}
        found[f"blocks.{block}.mlp"] = {"heads": 1, "width": 128}
    return {"format": 1, "model": {"name": "vit_tiny_patch16_224", "args": {}}, "widths": found}


def record(number: int = 0, ratio: float = 0.5, top1: float | None = 97.5, **changes: Any) -> Record:
    """A finished trial of a MAC budget `ratio`; `changes` are fields of Record, `macs`, `dense` or `sweep`."""
    target = int(ratio * DENSE.macs)
    macs = changes.pop("macs", int(0.995 * target))
    subnet = Network(
        macs=macs, params=int(ratio * DENSE.params), top1_val=top1, top1_test=None if top1 is None else top1 - 0.3
    )
    budget = BudgetOutcome(label=f"{ratio:g}", resource="macs", target=target, used=macs / target, minimum=MINIMUM)
    fields: dict[str, Any] = {
        "trial": number,
        "sweep": "digits",
        "key": f"key{number}",
        "status": "finished",
        "spec": {
            "model": {"name": "vit_tiny_patch16_224"},
            "data": {"name": "digits"},
            "budget": {"macs_ratio": ratio},
        },
        "params_explored": {"search.one_hot_weight": 0.5 + number / 100},
        "seed": 0,
        "budget": budget,
        "dense": DENSE,
        "subnet": subnet,
        "arch": widths(48),
        "seconds": {"dense": 8.0, "search": 12.5, "finetune": 6.0},
    }
    return Record(**{**fields, **changes})


def failed(
    number: int = 0, ratio: float = 0.5, reason: str = "the loss became NaN in epoch 3", **changes: Any
) -> Record:
    """A trial that failed during the search."""
    return record(number, ratio, **{"status": "failed", "reason": reason, "subnet": None, "arch": None, **changes})


def write(folder: Path, trials: list[Record], name: str = "digits", question: str = "How small?") -> Path:
    """A results folder with these records, each in the folder of its number."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text(dump({"name": name, "question": question}), encoding="utf-8")
    for trial in trials:
        write_record(trial_folder(folder, trial.trial), trial)
    return folder


def event(
    epoch: int, axis: str, before: tuple[int, int], after: tuple[int, int], gap: float, **changes: Any
) -> dict[str, Any]:
    """A cut of one axis as the events of a record state it; `changes` are `decided` and `projected`."""
    sizes = {"from": list(before), "to": list(after), "living": 2, "decided": False}
    return {"epoch": epoch, "axis": axis, **sizes, "output_gap": gap, **changes}


def write_trial_file(folder: Path, trial: Record, **changes: Any) -> None:
    """The `trial.json` of a trial with a record; `changes` are fields of `TrialFile`."""
    fields = {"trial": trial.trial, "key": trial.key, "label": trial.budget.label, "spec": trial.spec, **changes}
    TrialFile(**fields).write(trial_folder(folder, trial.trial))


def write_open(folder: Path, number: int, *, running: bool) -> None:
    """A trial without a record: queued, or running."""
    path = trial_folder(folder, number)
    TrialFile(
        trial=number,
        key=f"key{number}",
        cell={"budget": {"macs_ratio": 0.5}, "search.mask": "both", "seed": 3},
        label="0.5, search.mask=both",
        params={"search.one_hot_weight": 0.7},
        spec={"seed": 3},
    ).write(path)
    if running:
        Progress(phase="search", epoch=2, epochs=30, progress=0.4).write(path)
