"""Gather what the page says of each trial and of the sweep: plain values, no markup."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.fronts.selected_table import human, widths_summary
from analysis.trials.trial import Results, Trial
from ofb_ray.errors import one_line
from ofb_ray.results.files import LOG_FILE
from ofb_ray.results.history import widths_of
from ofb_ray.results.records import Record

MOST_CLASSES = 50
LOST = ("failed", "stopped", "died", "unreadable")
FolderNames = Mapping[Path, str]  # results folder -> what its user calls it


@dataclass(frozen=True)
class Facts:
    """One trial for the reader; numbers as text, empty where there are none."""

    name: str
    status: str
    budget: str
    seed: str
    macs: str
    params: str
    top1_val: str
    top1_test: str
    on_front: bool
    widths: str
    layers: str
    explored: str
    reason: str
    rerun: str
    export: str
    log: str


def facts_of(results: Results, names: FolderNames) -> list[Facts]:
    """Gather the facts of every trial, in the order of the results."""
    return [_facts(trial, on_front, names) for trial, on_front in zip(results.trials, results.on_front, strict=True)]


def environment_of(results: Results) -> list[tuple[str, str]]:
    """List what the trials ran with: every key of their records' environment, and how many trials where they differ."""
    seen: dict[str, Counter[str]] = {}
    for trial in results.trials:
        for key, value in (trial.record.environment if trial.record else {}).items():
            if value not in (None, [], ""):
                text = value if isinstance(value, str) else json.dumps(value)
                seen.setdefault(key, Counter())[text] += 1
    return [(key, _shares(counts)) for key, counts in seen.items()]


def classes_of(results: Results) -> list[tuple[str, str]]:
    """Name the classes, in the order of their labels, where the records do; a line for each data set."""
    lists = dict.fromkeys(tuple(trial.record.class_names) for trial in results.trials if trial.record)
    lines = []
    for names in filter(None, lists):
        more = ", ..." if len(names) > MOST_CLASSES else ""
        lines.append((f"{len(names)} classes", ", ".join(map(one_line, names[:MOST_CLASSES])) + more))
    return lines


def seeds_of(results: Results) -> str:
    """List the seeds: `0, 1, 2`."""
    return ", ".join(str(seed) for seed in sorted({trial.seed for trial in results.trials if trial.seed is not None}))


def cost_of(results: Results) -> list[tuple[str, str]]:
    """Sum the hours that the trials took, by phase; a dense network or a search that trials share counts once."""
    phases: Counter[str] = Counter()
    gpu: Counter[str] = Counter()
    shared: set[tuple[str, float]] = set()
    for trial in results.trials:
        if (record := trial.record) is None:
            continue
        for phase, seconds in record.seconds.items():
            if (phase, seconds) in shared:
                continue
            if phase != "finetune":
                shared.add((phase, seconds))
            phases[phase] += seconds  # type: ignore[assignment]
            gpu[phase] += record.gpu_seconds.get(phase, 0.0)  # type: ignore[assignment]
    lines = [(phase, _hours(seconds)) for phase, seconds in phases.items()]
    return lines + [(f"{phase}, GPU time", _hours(seconds)) for phase, seconds in gpu.items() if seconds]


def _facts(trial: Trial, on_front: bool, names: FolderNames) -> Facts:
    record = trial.record
    subnet = record.subnet if record else None
    location = f"{names.get(trial.folder.parent, str(trial.folder.parent)).rstrip('/')}/{trial.folder.name}"
    ended = record is not None
    return Facts(
        name=str(trial.name),
        status="over budget" if trial.status == "finished" and subnet and not trial.met_budget else trial.status,
        budget=trial.budget,
        seed="" if trial.seed is None else str(trial.seed),
        macs=human(subnet.macs) if subnet else "",
        params=human(subnet.params) if subnet else "",
        top1_val=_points(subnet.top1_val if subnet else None),
        top1_test=_points(subnet.top1_test if subnet else None),
        on_front=on_front,
        widths=widths_summary([record.arch]) if record and record.arch else "",
        layers=_layers(record),
        explored=", ".join(f"{key} = {_short(value)}" for key, value in (trial.explored or {}).items()),
        reason=trial.reason,
        rerun=shlex.join(["ofb-ray", "trial", "--from", location]) if ended else "",
        export=shlex.join(["ofb-ray", "export", location, "--to", "DIR"]) if subnet else "",
        log=f"{location}/{LOG_FILE}" if trial.status in LOST else "",
    )


def _layers(record: Record | None) -> str:
    """Write every width, `embed 48; blocks.0: 4 x 12, 192; ...`, in the network's order."""
    groups: dict[str, list[str]] = {}
    for name, (heads, width) in widths_of(record.arch if record else None).items():
        block, _, kind = name.rpartition(".")
        text = f"{heads} x {width}" if kind.endswith("attn") else str(width)
        groups.setdefault(block or name, []).append(text)
    return "; ".join(f"{block}: {', '.join(texts)}" for block, texts in groups.items())


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value) if isinstance(value, dict) else str(value)


def _shares(counts: Counter[str]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    parts = [f"{text} ({count} trials)" for text, count in counts.most_common(3)]
    return ", ".join(parts) + (f" and {len(counts) - 3} others" if len(counts) > 3 else "")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h" if seconds >= 360 else f"{seconds:.0f} s"
