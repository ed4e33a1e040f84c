"""One trial as Ray runs it: the plain trial function, fenced, its progress on file, its end told for what it is."""

from __future__ import annotations

import contextlib
import faulthandler
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ray import tune

from ofb_ray.config import Json
from ofb_ray.errors import InputError
from ofb_ray.results.atomic import write_json
from ofb_ray.results.attempt import Attempt, SupersededError, attempt, trial_folder
from ofb_ray.results.files import LOG_FILE, PROGRESS_FILE
from ofb_ray.tuning.lifecycle.early_stop import gate_of
from ofb_ray.tuning.lifecycle.failures import describe, disk_trouble, repeated, write_failed
from ofb_ray.tuning.ray.process import logged, run_function
from ofb_ray.tuning.ray.workers import team


def trainable(config: Json) -> None:
    """Run trial `config["number"]` to its record.

    Bad input (weights that do not fit, images that cannot be read) and a full disk would be as bad at the next attempt,
    so there is none: the trial stays open and says why. An error that comes twice at the same place ends the trial with
    a record; any other death is tried again by Ray, from the checkpoint.
    """
    folder = trial_folder(config)

    def note(line: str) -> None:
        with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    with contextlib.suppress(SupersededError), attempt(config, note) as files:
        _attempt(config, folder, files)
        files.finished()
    tune.report({"phase": "done", "progress": 1.0})


def _attempt(config: Json, folder: Path, files: Attempt) -> None:
    try:
        with _watched(config, folder) as alive, logged(config), team(config, folder / LOG_FILE):
            run_function(config, _reporter(folder, files, alive), gate_of(config, files))
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
            files.saved(now=True)
            raise


def _stay_open(folder: Path, message: str, stop: bool = False) -> None:
    """Leave the trial for the next launch; `stop` ends this one, because no other trial would fare better."""
    died = {"phase": "died", "message": message, "stop": stop}
    with contextlib.suppress(OSError) if stop else contextlib.nullcontext():
        write_json(folder / PROGRESS_FILE, died)
    if stop:
        tune.report(died)


@contextlib.contextmanager
def _watched(config: Json, folder: Path) -> Iterator[Callable[[], None]]:
    """End this process when it has been silent for too long, even inside C code; yields what a sign of life calls.

    The stack of every thread goes into the trial's log.
    """
    minutes = config.get("silent_minutes")
    if not minutes:
        yield lambda: None
        return
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log:

        def alive() -> None:
            faulthandler.dump_traceback_later(60 * minutes, exit=True, file=log)

        alive()
        try:
            yield alive
        finally:
            faulthandler.cancel_dump_traceback_later()


def _reporter(folder: Path, files: Attempt, alive: Callable[[], None]) -> Callable[[Json], None]:
    (folder / PROGRESS_FILE).unlink(missing_ok=True)

    def report(progress: Json) -> None:
        alive()
        plain = {key: _plain(value) for key, value in progress.items()}
        write_json(folder / PROGRESS_FILE, {**plain, "time": time.time()})
        files.saved()
        tune.report(plain)

    return report


def _plain(value: Any) -> Any:
    """A number of torch or numpy as Python's; what is not finite as None, because JSON has no word for it."""
    if isinstance(value, str | bool | int | None):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
