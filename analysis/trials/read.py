"""Read results folders into trials, also while a sweep is running; write nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from analysis.trials.sweep_file import SweepFile, read_sweep_file
from analysis.trials.trial import Results, Trial
from ofb_ray.errors import InputError
from ofb_ray.results.files import (
    ANALYSIS_FOLDER,
    JOURNAL_FILE,
    RECORD_FILE,
    SWEEP_FILE,
    TRIAL_FILE,
    JsonFile,
    Progress,
    TrialFile,
    trial_folders,
)
from ofb_ray.results.records import Record, read_record
from ofb_ray.results.store import readable

File = TypeVar("File", bound=JsonFile)
Known = dict[Path, tuple[int, Trial]]  # trial folder -> its time in nanoseconds when it was read, and the trial
SETTLED = 2.0  # seconds after which a second change of a folder has another time, also on a coarse clock
MIXED = "The trials use different data: their accuracies do not compare, a front over all of them means nothing."


def records(folders: str | Path | Sequence[str | Path]) -> list[Record]:
    """Read the records of results folders, by trial number; unreadable ones are left out (`read` names them).

    Raises:
        InputError: a folder does not exist or is no results folder.
    """
    return [trial.record for trial in read(folders).trials if trial.record is not None]


def read(folders: str | Path | Sequence[str | Path], known: Known | None = None) -> Results:
    """Read all trials of the folders, each folder once, in order.

    Args:
        folders: a results folder or its URI, or several. Of several, the sweeps' names stand in front of the trials'.
        known: what earlier calls have read, kept up to date: a trial whose folder has not changed is not read again.

    Raises:
        InputError: a folder does not exist or is no results folder.
    """
    folders = [folders] if isinstance(folders, str | Path) else folders
    pairs = zip(folders, map(readable, folders), strict=True)
    by_path = {local.resolve(): (local, str(given)) for given, local in pairs}
    for folder, given in by_path.values():
        check_results_folder(folder, given)
    parts = [_read_folder(folder, {} if known is None else known) for folder, _ in by_path.values()]
    results = parts[0] if len(parts) == 1 else _merged(parts)
    return replace(results, problems=(MIXED, *results.problems)) if results.mixed else results


def check_results_folder(folder: Path, given: str = "") -> None:
    """Refuse what is no results folder. One that is empty, but for an analysis, is a sweep that has not begun.

    Args:
        given: what the user calls it, where that is a URI.

    Raises:
        InputError: one line that says what is expected.
    """
    file = given or str(folder)
    if not folder.is_dir():
        raise InputError("there is no such folder; give a results folder, such as results/digits", file=file)
    if (folder / RECORD_FILE).exists() or (folder / TRIAL_FILE).exists():
        parent = f", {folder.parent}" if folder.name.isdecimal() else ""
        raise InputError(f"this is one trial; give the results folder of a sweep{parent}", file=file)
    known = (folder / SWEEP_FILE).exists() or (folder / JOURNAL_FILE).exists() or _numbered(folder)
    if not known and any(path.name != ANALYSIS_FOLDER for path in folder.iterdir()):
        sweeps = sorted(path.parent.name for path in folder.glob(f"*/{SWEEP_FILE}"))
        inside = f"; it holds results folders: {', '.join(sweeps[:5])}" if sweeps else ""
        raise InputError(f"no results folder: neither {SWEEP_FILE} nor trial folders{inside}", file=file)


def _merged(parts: Sequence[Results]) -> Results:
    count = Counter(part.name for part in parts)
    trials: list[Trial] = []
    for part in parts:
        prefix = part.name if count[part.name] == 1 else str(part.folders[0])
        trials += [replace(trial, sweep=prefix) for trial in part.trials]
    questions = dict.fromkeys(part.question for part in parts if part.question)
    return Results(
        folders=tuple(folder for part in parts for folder in part.folders),
        name=", ".join(dict.fromkeys(part.name for part in parts)),
        question=" / ".join(questions),
        trials=tuple(trials),
        problems=tuple(problem for part in parts for problem in part.problems),
    )


def _numbered(folder: Path) -> list[Path]:
    return [path for path in trial_folders(folder) if path.name.isdecimal()]


def _read_folder(folder: Path, known: Known) -> Results:
    trials = [_known_trial(path, known) for path in _numbered(folder)]
    problems = [trial.reason for trial in trials if trial.status == "unreadable"]
    sweep = SweepFile()
    try:
        sweep = read_sweep_file(folder)
    except (InputError, OSError, ValueError) as error:
        problems.append(" ".join(str(error).split()))
    names = [trial.record.sweep for trial in trials if trial.record and trial.record.sweep]
    name = sweep.name or (names[0] if names else folder.resolve().name)
    return Results((folder,), name, sweep.question, tuple(trials), tuple(problems))


def _known_trial(folder: Path, known: Known) -> Trial:
    stamp = folder.stat().st_mtime_ns  # every file of a trial that is read here is renamed into the folder
    if folder in known and known[folder][0] == stamp:
        return known[folder][1]
    trial = _read_trial(folder)
    if time.time_ns() - stamp > SETTLED * 1e9:
        known[folder] = (stamp, trial)
    return trial


def _read_trial(folder: Path) -> Trial:
    """Read one trial. The folder's name is the number: it is what the commands take, also for a copied record."""
    number = int(folder.name)
    try:
        record = read_record(folder)
    except (ValueError, OSError):
        reason = f"{folder / RECORD_FILE} is not a record of this version: left out; look at it or remove the folder"
        return Trial(folder, number, "unreadable", reason=reason)
    file = _read_or_none(TrialFile, folder)
    return _open_trial(folder, file) if record is None else _ended_trial(folder, file, record)


def _ended_trial(folder: Path, file: TrialFile | None, record: Record) -> Trial:
    return Trial(
        folder=folder,
        number=int(folder.name),
        status=record.status,
        record=record if record.budget.target else None,  # a trial that died may never have known its target
        budget=record.budget.label,
        label=file.label if file else record.budget.label,
        seed=record.seed,
        # The sweep's grid is explored too, only not by Optuna: records leave it to trial.json.
        explored=(file.grid if file else {}) | record.params_explored,
        reason=record.reason,
        promoted=file is not None and file.promotes is not None,
    )


def _open_trial(folder: Path, file: TrialFile | None) -> Trial:
    progress = _read_or_none(Progress, folder)
    trial = Trial(folder, int(folder.name), "queued" if progress is None else "died" if progress.died else "running")
    if progress is not None and progress.died:
        trial = replace(trial, reason=progress.message)
    if file is None:
        return replace(trial, explored={})
    return replace(
        trial,
        # The label of a cell is the budget's and then, after a comma, the grid's.
        budget=file.label.partition(", ")[0],
        label=file.label,
        seed=file.seed,
        explored=file.grid | file.params,
        promoted=file.promotes is not None,
    )


def _read_or_none(kind: type[File], folder: Path) -> File | None:
    """Read a trial's file; None if it is missing, torn or foreign: the trial is then only known by its number."""
    try:
        return kind.read(folder)
    except (OSError, ValueError):
        return None
