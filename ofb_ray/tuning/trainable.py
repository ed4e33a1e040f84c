"""One trial as Ray runs it: the plain trial function, fenced by a lock on the trial's folder, its progress on file."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from ray import tune

from ofb_ray import records
from ofb_ray.errors import InputError
from ofb_ray.spec import Json, TrialSpec
from ofb_ray.tuning.folder import LOG_FILE, PROGRESS_FILE, SHARED_FOLDER, TRIAL_FILE, TRIAL_LOCK

LOCK_SECONDS = 300


def trainable(config: Json) -> None:
    """Run trial `config["number"]` of the results folder `config["results"]` to its record.

    The process holds the folder's lock while it works: a worker that a killed driver left behind still has it, and the
    next attempt waits until that one is gone instead of writing beside it. Bad input (weights that do not fit, images
    that cannot be read) would be as bad at the next attempt, so there is none: the trial stays open and says why.
    """
    from ofb_ray.tuning.workers import team

    folder = _folder(config)
    with FileLock(folder / TRIAL_LOCK, timeout=LOCK_SECONDS):
        (folder / PROGRESS_FILE).unlink(missing_ok=True)
        try:
            with logged(config), team(config, folder / LOG_FILE):
                _run(config, _reporter(folder))
        except InputError as error:
            records.write_json(folder / PROGRESS_FILE, {"phase": "died", "message": str(error)})
    tune.report({"phase": "done", "progress": 1.0})


def run_worker(config: Json) -> None:
    """The same trial on a worker beside rank 0, which alone reports and writes."""
    _run(config, lambda progress: None)


def settle(config: Json) -> None:
    """What belongs to the process: the driver's folder, where relative paths start, and a torch thread for each CPU."""
    if os.path.isdir(config["here"]):  # Ray has gone to a folder of its own; another machine may lack the driver's
        os.chdir(config["here"])
    resolve(config["function"])
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(max(1, int(config["cpus"])))


@contextlib.contextmanager
def logged(config: Json) -> Iterator[None]:
    """Everything that is printed or raised goes into the trial's log."""
    with (
        (_folder(config) / LOG_FILE).open("a", buffering=1, encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            yield
        except InputError as error:
            log.write(f"{error}\n")
            raise
        except Exception:
            traceback.print_exc(file=log)
            raise


def _run(config: Json, report: Callable[[Json], None]) -> None:
    folder = _folder(config)
    trial = json.loads((folder / TRIAL_FILE).read_bytes())
    resolve(config["function"])(
        TrialSpec.model_validate(trial["spec"]),
        report,
        folder,
        shared=Path(config["results"]) / SHARED_FOLDER,
        trial=trial["trial"],
        sweep=trial["sweep"],
        explored=trial["params"],
    )


def _folder(config: Json) -> Path:
    return records.trial_folder(Path(config["results"]), int(config["number"]))


def _reporter(folder: Path) -> Callable[[Json], None]:
    def report(progress: Json) -> None:
        plain = {key: _plain(value) for key, value in progress.items()}
        records.write_json(folder / PROGRESS_FILE, {**plain, "time": time.time()})
        tune.report(plain)

    return report


def resolve(dotted: str) -> Callable[..., Any]:
    """The function `package.module:name`."""
    module, _, name = dotted.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _plain(value: Any) -> Any:
    """A number of torch or numpy as Python's; what is not finite as None, because JSON has no word for it."""
    if isinstance(value, str | bool | int | None):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
