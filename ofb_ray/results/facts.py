"""Read how far each trial of a results folder is; also while the sweep is running, and in another user's folder."""

from __future__ import annotations

import fcntl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ofb_ray.errors import BrokenFileError, InputError
from ofb_ray.results.files import TRIAL_LOCK, LeaseFile, Progress, TrialFile, trial_folders
from ofb_ray.results.records import Outcome, read_record

# A trial whose lease was renewed no longer ago than this is running on some node.
LEASE_SECONDS = 60.0
NOT_STARTED = Progress()
State = Literal["finished", "failed", "stopped", "running", "died", "waiting"]


@dataclass(frozen=True)
class TrialFacts:
    """One trial as its folder tells it.

    Args:
        number: of the trial and its folder.
        state: `finished`, `failed` and `stopped` have an outcome; `died` waits for the next launch.
        trial: its trial.json, None where there is none.
        progress: its last report; without a phase where there is none.
        outcome: how it ended, None while it has no record.
    """

    number: int
    state: State
    trial: TrialFile | None = None
    progress: Progress = NOT_STARTED
    outcome: Outcome | None = None


def read_facts(results: Path, uri: str | None = None) -> list[TrialFacts]:
    """Read all trials that have a folder, in the order of their numbers.

    Args:
        results: the results folder; one that does not exist has no trials.
        uri: of which `results` is the local copy, if any.

    Raises:
        InputError: a file of a trial cannot be read; names the trial and the file.
    """
    facts = []
    for folder in trial_folders(results) if results.exists() else []:
        try:
            facts.append(facts_of(folder))
        except BrokenFileError as error:  # what a disk or a copy that broke off leaves: we never write a part of a file
            path = f"{uri.rstrip('/')}/{folder.name}" if uri else str(folder)
            problem = ": ".join(part for part in (Path(error.file or "").name, error.key, error.message) if part)
            remedy = "restore the file, or remove this trial's folder: it then runs again"
            raise InputError(f"holds a file that is broken ({problem}): {remedy}", file=path) from None
    return facts


def facts_of(folder: Path) -> TrialFacts:
    """Read one trial's folder.

    Raises:
        BrokenFileError: a file of it cannot be read; names the file.
    """
    trial, progress = TrialFile.read(folder), Progress.read(folder) or NOT_STARTED
    record = read_record(folder)
    state: State
    if record is not None:
        state = record.status
    elif is_worked_on(folder):
        state = "running"
    else:
        state = "died" if progress.died else "waiting"
    return TrialFacts(int(folder.name), state, trial, progress, record.outcome if record else None)


def is_worked_on(folder: Path) -> bool:
    """Whether an attempt holds the trial's lock or its lease.

    Raises:
        BrokenFileError: its lease cannot be read; names the file.
    """
    if is_locked(folder / TRIAL_LOCK):
        return True
    lease = LeaseFile.read(folder)  # without an id it has been given back
    return lease is not None and bool(lease.id) and time.time() - lease.time < LEASE_SECONDS


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of this file; a file that is missing is not locked."""
    if not path.exists():
        return False
    with path.open("rb") as file:  # not a FileLock, which would have to write: the folder may be another user's
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
