"""One trial as Ray runs it: the plain trial function, fenced by a lock on the trial's folder, its progress on file."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock
from ray import tune

from ofb_ray import records
from ofb_ray.spec import Json, TrialSpec
from ofb_ray.tuning.folder import LOG_FILE, PROGRESS_FILE, SHARED_FOLDER, TRIAL_FILE, TRIAL_LOCK

LOCK_SECONDS = 300


def trainable(config: Json) -> None:
    """Run trial `config["number"]` of the results folder `config["results"]` to its record.

    The process holds the folder's lock while it works: a worker that a killed driver left behind still has it, and the
    next attempt waits until that one is gone instead of writing beside it.
    """
    results, number = Path(config["results"]), int(config["number"])
    folder = records.trial_folder(results, number)
    function = resolve(config["function"])
    if "torch" in sys.modules:  # the number of threads of the whole process, so it is not the trial function's business
        sys.modules["torch"].set_num_threads(max(1, int(config["cpus"])))
    with (
        FileLock(folder / TRIAL_LOCK, timeout=LOCK_SECONDS),
        (folder / LOG_FILE).open("a", buffering=1, encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            _run(function, folder, results)
        except Exception:
            traceback.print_exc(file=log)
            raise


def _run(function: Callable[..., Any], folder: Path, results: Path) -> None:
    trial = json.loads((folder / TRIAL_FILE).read_bytes())

    def report(progress: Json) -> None:
        plain = {key: _plain(value) for key, value in progress.items()}
        records.write_json(folder / PROGRESS_FILE, {**plain, "time": time.time()})
        tune.report(plain)

    function(
        TrialSpec.model_validate(trial["spec"]),
        report,
        folder,
        shared=results / SHARED_FOLDER,
        trial=trial["trial"],
        sweep=trial["sweep"],
        explored=trial["params"],
    )
    tune.report({"phase": "done", "progress": 1.0})


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
