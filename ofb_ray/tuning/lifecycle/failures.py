"""Trials that end badly: what is tried again, what the disk forbids, and the record that says why it ended."""

from __future__ import annotations

import errno
import json
from pathlib import Path

from ofb_ray.config import Json, TrialSpec
from ofb_ray.results import records
from ofb_ray.results.atomic import read_json, write_json
from ofb_ray.results.files import ATTEMPTS_FILE, PROGRESS_FILE, TRIAL_FILE
from ofb_ray.results.records import BudgetOutcome, Record

# In a trial's log, where an attempt begins.
ATTEMPT = "=== attempt"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def disk_trouble(error: BaseException, folder: Path) -> str:
    """What to do where an error, or what caused it, is a disk that takes no more; else empty."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            where = cause.filename or folder
            reason = "is read-only" if cause.errno == errno.EROFS else "is full"
            return f"the disk {reason} ({where}): free space or give another --storage, then run the sweep again"
        cause = cause.__cause__ or cause.__context__
    return ""


def describe(error: BaseException) -> str:
    """The reason that a record keeps: the error's first line, and a remedy where memory is short."""
    return worded(type(error).__name__, (str(error).strip().splitlines() or [""])[0][:300])


def worded(name: str, first: str) -> str:
    """`describe` of an error of which only the type's name and the first line are known."""
    if "OutOfMemory" in name or name == "MemoryError" or "out of memory" in first.lower():
        return f"out of memory ({name}: {first}): set micro_batch, or give the trial a larger share of a GPU"
    return f"{name}: {first}" if first else name


def repeated(folder: Path, reason: str) -> bool:
    """Note that an attempt ended in `reason`; True if the one before ended in the same way at the same place."""
    path = folder / ATTEMPTS_FILE
    progress = read_json(folder / PROGRESS_FILE)
    place = {key: progress.get(key) for key in ("phase", "epoch")}
    earlier = read_json(path).get("attempts", [])
    write_json(path, {"attempts": [*earlier, {"reason": reason, "at": place}]})
    return bool(earlier) and earlier[-1] == {"reason": reason, "at": place}


def write_failed(folder: Path, reason: str) -> Record:
    """Write the record of a trial that ended without one; its checkpoint stays for `--retry-failed`."""
    trial = json.loads((folder / TRIAL_FILE).read_bytes())
    spec = TrialSpec.model_validate(trial["spec"])
    record = Record(
        trial=trial["trial"],
        sweep=trial["sweep"],
        key=spec.key,
        status="failed",
        reason=reason,
        spec=spec.model_dump(mode="json"),
        params_explored=trial["params"],
        seed=spec.seed,
        budget=BudgetOutcome(label=spec.budget.label, resource=spec.budget.resource),
        environment=_environment(folder),
        finished=records.now(),
    )
    records.write_record(folder, record)
    return record


def _environment(folder: Path) -> Json:
    attempts = read_json(folder / ATTEMPTS_FILE).get("attempts", [])
    return {"attempts": attempts} if attempts else {}
