"""Failed trials tried again: under the same number, in the same folder, their old records kept beside the new."""

from __future__ import annotations

import itertools
from pathlib import Path

from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.driver import SweepResults
from ofb_ray.results.files import (
    ATTEMPTS_FILE,
    DEATH_FILE,
    PROGRESS_FILE,
    RECORD_FILE,
    failed_record,
    trial_folder,
)
from ofb_ray.results.index import TrialIndex


def retry_failed(results: SweepResults, index: TrialIndex) -> list[int]:
    """Open the failed trials of a results folder again.

    The record is kept as record.failed-1.json (-2, ...) and goes last: until then the trial is settled and nobody looks
    at what else is in its folder, from then on it is open. Where it left a checkpoint (a process that died leaves one,
    a trial that diverged does not) it goes on from there. Optuna's study is put right when it is opened next: it then
    claims an end that no record shows.

    Args:
        results: which the caller drives.
        index: its trials.
    Returns:
        The numbers of the trials.
    """
    numbers = index.failed()
    for number in numbers:
        folder = trial_folder(results.folder, number)
        for name in (PROGRESS_FILE, ATTEMPTS_FILE, DEATH_FILE):
            _remove(results, folder / name)
        data = (folder / RECORD_FILE).read_bytes()
        paths = (folder / failed_record(count) for count in itertools.count(1))
        kept = next(path for path in paths if not path.exists() or path.read_bytes() == data)
        write_atomic(kept, data)
        if results.remote is not None:
            results.remote.upload(results.folder, [f"{folder.name}/{kept.name}"])
        _remove(results, folder / RECORD_FILE)
        index.reopen(number)
    return numbers


def _remove(results: SweepResults, path: Path) -> None:
    """Remove a file; the store's goes first: it is what the next launch fetches."""
    if results.remote is not None:
        results.remote.delete(path.relative_to(results.folder).as_posix())
    path.unlink(missing_ok=True)
