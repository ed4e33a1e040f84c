"""One trial as Ray Tune runs it, in a process of its own."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune

from ofb_ray.config import Json
from ofb_ray.errors import InputError, UnreachableBudget
from ofb_ray.results.attempt import Attempt, SupersededError, attempt
from ofb_ray.results.files import DEATH_FILE, LOG_FILE, PROGRESS_FILE, Progress, kept_search_name
from ofb_ray.tuning.lifecycle.early_stop import early_stop
from ofb_ray.tuning.lifecycle.failures import describe, disk_trouble, repeated, write_death, write_failed
from ofb_ray.tuning.ray.hang_watch import ends_when_silent
from ofb_ray.tuning.ray.job import Job
from ofb_ray.tuning.ray.process import logged, run_function
from ofb_ray.tuning.ray.workers import team


def trainable(config: Json) -> None:
    """Run one trial under a lock to its record, write progress.json as it goes on, and classify how it ended.

    Bad input (weights that do not fit, images that cannot be read) and a full disk would be as bad at the next attempt,
    so there is none: the trial stays open and says why. An error that comes twice at the same place ends the trial with
    a record; any other death is tried again by Ray, from the checkpoint.
    """
    job = Job.of(config)

    def note(line: str) -> None:
        with (job.folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    spec = job.trial.resolved()
    search = kept_search_name(spec.search_key) if job.keep_search else ""
    above = kept_search_name(spec.above.search_key) if spec.above else ""
    locked = attempt(job.folder, note, uri=job.uri, dense_key=spec.dense_key, search=search, above=above)
    with contextlib.suppress(SupersededError), locked as files:
        _attempt(job, files)
        files.finished()
    tune.report({"phase": "done", "progress": 1.0})


def _attempt(job: Job, files: Attempt) -> None:
    folder = job.folder
    files.discard(DEATH_FILE)  # of the attempt before
    try:
        with ends_when_silent(job.silent_minutes, folder) as alive, logged(job), team(job):
            gate = early_stop(job.gate, job.trial, files, job.uri)
            run_function(job, _reporter(folder, files, alive), gate)
    except UnreachableBudget as error:
        write_failed(folder, error.message)
    except InputError as error:
        _stay_open(folder, str(error))
    except SupersededError:
        raise
    except Exception as error:
        if trouble := disk_trouble(error, folder):
            _stay_open(folder, trouble, stop=True)
        elif repeated(folder, reason := describe(error)):
            write_failed(folder, reason)
        else:
            write_death(folder, reason)
            files.saved(now=True)
            raise


def _stay_open(folder: Path, message: str, stop: bool = False) -> None:
    """Leave the trial for the next launch; `stop` ends this one, because no other trial would fare better."""
    died = Progress(phase="died", message=message, stop=stop)
    with contextlib.suppress(OSError) if stop else contextlib.nullcontext():
        died.write(folder)
    if stop:
        tune.report(died.model_dump(exclude_unset=True))


def _reporter(folder: Path, files: Attempt, alive: Callable[[], None]) -> Callable[[Json], None]:
    """Return the trial's `report`: a sign of life that is written, sent to a store and passed on to Ray."""
    (folder / PROGRESS_FILE).unlink(missing_ok=True)

    def report(progress: Json) -> None:
        alive()
        plain = {key: _plain(value) for key, value in progress.items()}
        Progress(**plain, time=time.time()).write(folder)
        # Where a search has ended, others may wait for it.
        files.saved(now=progress["phase"] == "finetune" and not progress["epoch"])
        tune.report(plain)

    return report


def _plain(value: Any) -> Any:
    """A number of torch or numpy as Python's; what is not finite as None, because JSON has no word for it."""
    if isinstance(value, str | bool | int | None):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
