"""Results folders -> trials -> one table. Reads, also while the sweep is running; writes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.fronts.compare import differ
from analysis.fronts.front import non_dominated
from ofb_ray.config.yaml12 import load as load_yaml
from ofb_ray.errors import InputError
from ofb_ray.results.files import (
    ANALYSIS_FOLDER,
    JOURNAL_FILE,
    PROGRESS_FILE,
    RECORD_FILE,
    SWEEP_FILE,
    TRIAL_FILE,
    trial_folders,
)
from ofb_ray.results.records import Record, read_record
from ofb_ray.results.store import readable

COLUMNS = ["trial", "status", "budget", "target_macs", "macs", "params", "top1_val", "top1_test", "seed", "on_front"]
INTEGERS = ("target_macs", "macs", "params", "seed")
PROMOTES = "promotes"


@dataclass(frozen=True)
class Trial:
    """One trial folder. `status` is the record's, or running, queued, died or unreadable where there is no record.

    `sweep` is empty in the analysis of one folder; `budget` is the label; `target` is in `resource` and None until a
    record states it; `promoted`: the sweep let it fine-tune longer than the trial whose search it took over.
    """

    folder: Path
    number: int
    status: str
    record: Record | None = None
    sweep: str = ""
    budget: str = ""
    seed: int | None = None
    explored: dict[str, Any] | None = None
    reason: str = ""
    promoted: bool = False

    @property
    def name(self) -> int | str:
        """The number, with the sweep in front of it where several are analysed together."""
        return f"{self.sweep}/{self.number}" if self.sweep else self.number

    @property
    def met_budget(self) -> bool:
        """Finished, and the subnet costs no more than its budget allows."""
        record = self.record
        if record is None or record.status != "finished" or record.subnet is None:
            return False
        return int(getattr(record.subnet, record.budget.resource)) <= record.budget.target


@dataclass(frozen=True)
class Results:
    """Everything that is known of one or several results folders; `problems` are lines for the reader."""

    folders: tuple[Path, ...]
    name: str
    question: str
    trials: tuple[Trial, ...] = field(repr=False)  # megabytes in a notebook
    problems: tuple[str, ...] = ()

    def by_status(self, status: str) -> list[Trial]:
        """The trials with this status, in their order."""
        return [trial for trial in self.trials if trial.status == status]

    @property
    def mixed(self) -> bool:
        """Whether the trials learned from different data, so that their accuracies do not compare."""
        return differ((trial.sweep, trial.record) for trial in self.trials if trial.record)

    @property
    def on_front(self) -> list[bool]:
        """For each trial: on the front of top-1 val over MACs, among the finished ones that met their budget.

        No trial is where the data are mixed.
        """
        nan, compare = float("nan"), not self.mixed
        points: list[tuple[float, float]] = []
        for trial in self.trials:
            subnet = trial.record.subnet if trial.record and trial.met_budget and compare else None
            known = subnet is not None and subnet.top1_val is not None
            points.append((subnet.top1_val, subnet.macs) if subnet and known else (nan, nan))  # type: ignore[arg-type]
        return [bool(flag) for flag in non_dominated(*zip(*points, strict=True))] if points else []


def records(results: str | Path) -> list[Record]:
    """The records of a results folder, by trial number; unreadable ones are left out (`read` names them).

    Raises:
        InputError: there is no such folder, or it is no results folder.
    """
    return [trial.record for trial in read([results]).trials if trial.record is not None]


def frame(results: str | Path) -> pd.DataFrame:
    """`table` of one results folder.

    Raises:
        InputError: there is no such folder, or it is no results folder.
    """
    return table(read([results]))


def table(results: Results) -> pd.DataFrame:
    """One row a trial: the columns of `COLUMNS`, the explored parameters by dotted key, then `used` and `reason`.

    `macs`, `params` and the accuracies (percentages) are the subnet's; `target_macs` is empty where the budget limits
    parameters; `used` is cost / target.
    """
    explored = list(dict.fromkeys(key for trial in results.trials for key in trial.explored or {}))
    rows = []
    for trial, on_front in zip(results.trials, results.on_front, strict=True):
        record = trial.record
        subnet, budget = (record.subnet, record.budget) if record else (None, None)
        row: dict[str, Any] = {"trial": trial.name, "status": trial.status, "budget": trial.budget, "seed": trial.seed}
        row["target_macs"] = budget.target if budget and budget.resource == "macs" else None
        for column in ("macs", "params", "top1_val", "top1_test"):
            row[column] = getattr(subnet, column, None)
        row |= {"on_front": on_front, "used": budget.used if budget else None, "reason": trial.reason}
        rows.append(row | {key: _cell(value) for key, value in (trial.explored or {}).items()})
    made = pd.DataFrame(rows, columns=[*COLUMNS, *explored, "used", "reason"])
    integers = {column: pd.array(made[column].tolist(), dtype="Int64") for column in INTEGERS}
    return made.assign(**integers)


def read(folders: Sequence[str | Path]) -> Results:
    """All trials of the folders, each folder once, in order; several sweeps get their names in front of the trials'.

    Raises:
        InputError: a folder does not exist or is no results folder.
    """
    found = {
        folder.resolve(): (folder, str(given)) for given, folder in zip(folders, map(readable, folders), strict=True)
    }
    for folder, given in found.values():
        check(folder, given)
    unique = [folder for folder, _ in found.values()]
    parts = [_read_folder(folder) for folder in unique]
    if len(parts) == 1:
        return _warned(parts[0])
    count = Counter(part.name for part in parts)
    trials: list[Trial] = []
    for part in parts:
        prefix = part.name if count[part.name] == 1 else str(part.folders[0])
        trials += [replace(trial, sweep=prefix) for trial in part.trials]
    problems = [problem for part in parts for problem in part.problems]
    questions = dict.fromkeys(part.question for part in parts if part.question)
    name = ", ".join(dict.fromkeys(part.name for part in parts))
    return _warned(Results(tuple(unique), name, " / ".join(questions), tuple(trials), tuple(problems)))


def _warned(results: Results) -> Results:
    mixed = "The trials use different data: their accuracies do not compare, a front over all of them means nothing."
    return replace(results, problems=(mixed, *results.problems)) if results.mixed else results


def check(folder: Path, given: str = "") -> None:
    """Refuse what is no results folder. One that is empty, but for an analysis, is a sweep that has not begun.

    Args:
        given: what the user calls it, where that is a URI.

    Raises:
        InputError: one line that says what is expected.
    """
    if not folder.is_dir():
        raise InputError(
            "there is no such folder; give a results folder, such as results/digits", file=given or str(folder)
        )
    if (folder / RECORD_FILE).exists() or (folder / TRIAL_FILE).exists():
        parent = f", {folder.parent}" if folder.name.isdecimal() else ""
        raise InputError(f"this is one trial; give the results folder of a sweep{parent}", file=given or str(folder))
    known = (folder / SWEEP_FILE).exists() or (folder / JOURNAL_FILE).exists() or _numbered(folder)
    if not known and any(path.name != ANALYSIS_FOLDER for path in folder.iterdir()):
        sweeps = sorted(path.parent.name for path in folder.glob(f"*/{SWEEP_FILE}"))
        inside = f"; it holds results folders: {', '.join(sweeps[:5])}" if sweeps else ""
        raise InputError(
            f"no results folder: neither {SWEEP_FILE} nor trial folders{inside}", file=given or str(folder)
        )


def _numbered(folder: Path) -> list[Path]:
    return [path for path in trial_folders(folder) if path.name.isdecimal()]


def _read_folder(folder: Path) -> Results:
    trials = [_read_trial(path) for path in _numbered(folder)]
    problems = [trial.reason for trial in trials if trial.status == "unreadable"]
    sweep: dict[str, Any] = {}
    path = folder / SWEEP_FILE
    if path.exists():
        try:
            tree, _ = load_yaml(path.read_text(encoding="utf-8"), str(path))
            sweep = tree if isinstance(tree, dict) else {}
        except (InputError, OSError, ValueError) as error:
            problems.append(" ".join(str(error).split()))
    names = [trial.record.sweep for trial in trials if trial.record and trial.record.sweep]
    name = str(sweep.get("name") or (names[0] if names else folder.resolve().name))
    return Results((folder,), name, str(sweep.get("question") or ""), tuple(trials), tuple(problems))


def _read_trial(folder: Path) -> Trial:
    """The folder's name is the number: it is what the commands take, also for a record that was copied here."""
    number = int(folder.name)
    try:
        record = read_record(folder)
    except (ValueError, OSError):
        reason = f"{folder / RECORD_FILE} is not a record of this version: left out; look at it or remove the folder"
        return Trial(folder, number, "unreadable", reason=reason)
    known = _read_json(folder / TRIAL_FILE)
    cell, spec, params = (_mapping(known.get(key)) for key in ("cell", "spec", "params"))
    # The sweep's grid is explored too, only not by Optuna: records leave it to trial.json.
    explored = {key: value for key, value in cell.items() if key not in ("budget", "seed")}
    if record is not None:
        explored |= record.params_explored
        budget, reason = record.budget.label, record.reason
        known_budget = record if record.budget.target else None  # a trial that died may never have known its target
        promoted = PROMOTES in known
        return Trial(folder, number, record.status, known_budget, "", budget, record.seed, explored, reason, promoted)
    progress = _read_json(folder / PROGRESS_FILE)
    died = progress.get("phase") == "died"
    status = "died" if died else "running" if progress else "queued"
    # The label of a cell is the budget's and then, after a comma, the grid's.
    budget = str(known.get("label", "")).partition(", ")[0]
    seed = spec["seed"] if isinstance(spec.get("seed"), int) else None
    reason = str(progress.get("message", "")) if died else ""
    return Trial(folder, number, status, None, "", budget, seed, explored | params, reason, PROMOTES in known)


def _read_json(path: Path) -> dict[str, Any]:
    """What the file holds; nothing if it is missing, torn or foreign: the trial is then only known by its number."""
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return _mapping(tree)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
