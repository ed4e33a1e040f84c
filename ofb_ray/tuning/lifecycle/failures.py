"""Trials that end badly: what is tried again, what the disk forbids, and the record that says why it ended."""

from __future__ import annotations

import errno
from pathlib import Path

from ofb_ray.results import records
from ofb_ray.results.files import AttemptEnd, AttemptPosition, Attempts, Death, Progress, TrialFile
from ofb_ray.results.records import BudgetOutcome, Record

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def disk_trouble(error: BaseException, folder: Path) -> str:
    """Say what to do where an error, or what caused it, is a disk that takes no more; else return an empty string."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            where = cause.filename or folder
            reason = "is read-only" if cause.errno == errno.EROFS else "is full"
            return f"the disk {reason} ({where}): free space or give another --storage, then run the sweep again"
        cause = cause.__cause__ or cause.__context__
    return ""


def describe(error: BaseException) -> str:
    """Word the reason that a record keeps: the error's first line, and a remedy where memory is short."""
    name, first = type(error).__name__, (str(error).strip().splitlines() or [""])[0][:300]
    if "OutOfMemory" in name or name == "MemoryError" or "out of memory" in first.lower():
        return f"out of memory ({name}: {first}): set micro_batch, or give the trial a larger share of a GPU"
    return f"{name}: {first}" if first else name


def write_death(folder: Path, reason: str) -> None:
    """Write death.json, the last thing that the process of an attempt does."""
    Death(reason=reason, at=_position(folder)).write(folder)


def repeated(folder: Path, reason: str) -> bool:
    """Note that an attempt ended in `reason`; True if the one before ended in the same way at the same place."""
    earlier = _attempts(folder)
    end = AttemptEnd(reason=reason, at=_position(folder))
    Attempts(attempts=(*earlier, end)).write(folder)
    return bool(earlier) and earlier[-1] == end


def write_failed(folder: Path, reason: str) -> Record:
    """Write the record of a trial that ended without one; its checkpoint stays for `--retry-failed`."""
    trial = TrialFile.read(folder)
    assert trial is not None
    spec, attempts = trial.resolved(), _attempts(folder)
    record = Record(
        trial=trial.trial,
        sweep=trial.sweep,
        key=spec.key,
        status="failed",
        reason=reason,
        spec=spec.model_dump(mode="json"),
        params_explored=trial.params,
        seed=spec.seed,
        budget=BudgetOutcome(label=spec.budget.label, resource=spec.budget.resource),
        environment={"attempts": [end.model_dump() for end in attempts]} if attempts else {},
        finished=records.now(),
    )
    records.write_record(folder, record)
    return record


def _position(folder: Path) -> AttemptPosition:
    progress = Progress.read(folder) or Progress()
    return AttemptPosition(phase=progress.phase or None, epoch=progress.epoch)


def _attempts(folder: Path) -> tuple[AttemptEnd, ...]:
    return (Attempts.read(folder) or Attempts()).attempts
