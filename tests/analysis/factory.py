"""Results folders with made-up records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from ofb_ray.config.yaml12 import dump
from ofb_ray.results.files import Progress, TrialFile, trial_folder
from ofb_ray.results.int8 import Int8File
from ofb_ray.results.records import BudgetOutcome, Network, Record, write_record
from tests.int8_facts import facts

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


def write_int8(folder: Path, **changes: Any) -> None:
    """Write a trial's `int8.json`; `changes` are its fields, as JSON."""
    Int8File.model_validate({**facts().model_dump(), **changes}).write(folder)


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


SEARCH = {"epochs": 4, "lambda_start": 0.99, "lambda_end": 0.1, "mask_warmup": 0.5}
HISTORY: list[dict[str, Any]] = [
    *({"phase": "dense", "epoch": epoch, "loss": 1.0, "top1_val": 60.0 + 19 * epoch} for epoch in (1, 2)),
    *(
        {
            "phase": "search",
            "epoch": epoch,
            "top1_val": 90.0 + epoch,
            "budget_used": 1 + 0.2 * (3 - epoch),
            "current_macs": 1_000_000 - 150_000 * epoch,
            "expected_macs": 600_000,
        }
        for epoch in (1, 2, 3, 4)
    ),
    {"phase": "finetune", "epoch": 1, "loss": 1.0, "top1_val": 97.0},
]
EVENTS = [
    event(2, "embed", (1, 64), (1, 56), 0.1),
    event(2, "blocks.0.attn", (4, 16), (4, 16), 0.1),
    event(3, "blocks.0.mlp", (1, 256), (1, 128), 0.02, decided=True),
    event(3, "embed", (1, 56), (1, 48), 0.3, decided=True, projected=True),
    event(3, "blocks.0.attn", (4, 16), (3, 16), 0.3, decided=True, projected=True),
]


def searched(number: int = 0, ratio: float = 0.5, top1: float | None = 97.5, **changes: Any) -> Record:
    """A trial with the history and the events of a search."""
    made = record(number, ratio, top1, history=HISTORY, events=EVENTS, **changes)
    return made.model_copy(update={"spec": {**made.spec, "search": SEARCH}})


def write_trace(folder: Path, **changes: Any) -> None:
    """Two axes, one of two heads, over three snapshots; the second head is cut in the last, which decides the axis."""
    cut = 255
    score = np.array([[254, 127, 254, 127, 50, 25], [254, 127, 254, 127, 50, 25], [254, 127, 127, 254, cut, cut]])
    sparsity = np.array([[254, 0, 254, 254, 127, 127], [254, 0, 254, 254, 127, 127], [254, 0, 254, 254, cut, cut]])
    arrays = {
        "format": np.int32(1),
        "axis": np.array(["embed", "blocks.0.attn"]),
        "kind": np.array(["embedding", "attention"]),
        "heads": np.array([1, 2]),
        "width": np.array([2, 2]),
        "epoch": np.array([0, 2, 4]),
        "lam": np.array([0.99, 0.1, 0.1]),
        "decided": np.array([-1, 2]),
        "score": score.astype(np.uint8),
        "sparsity": sparsity.astype(np.uint8),
        "p": np.array([[0.5, 0.5, 0.25, 0.75]] * 2 + [[0.5, 0.5, 1.0, 0.0]], dtype=np.float16),
        "candidate_axis": np.array([0, 0, 1, 1]),
        "candidate_heads": np.array([1, 1, 1, 2]),
        "candidate_width": np.array([1, 2, 2, 2]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "search.npz").open("wb") as file:
        np.savez_compressed(file, **{**arrays, **changes})


def text_of(figure: Figure) -> str:
    """All text of a figure."""
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text) if isinstance(text, mpl.text.Text))


RISING = (10.0, 20.0, 30.0, 40.0)


def fine_tuned(number: int, values: tuple[float, ...], ratio: float = 0.5, **changes: Any) -> Record:
    """A finished trial with this curve; its last value is the final one. 10 s of search, 2 s a fine-tune epoch."""
    history = [
        {"phase": "search", "epoch": 1, "top1_val": 5.0},
        *({"phase": "finetune", "epoch": epoch, "top1_val": value} for epoch, value in enumerate(values, 1)),
    ]
    seconds = {"dense": 1000.0, "search": 10.0, "finetune": 2.0 * len(values)}
    spec = {"finetune": {"epochs": 4}, "data": {}}
    fields = {"history": history, "seconds": seconds, "spec": spec, **changes}
    return record(number, ratio, values[-1], **fields)


def shifted(by: float) -> tuple[float, ...]:
    """The rising curve, moved."""
    return tuple(value + by for value in RISING)
