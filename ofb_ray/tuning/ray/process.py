"""A process of a trial, rank 0's or another worker's: its folder, threads and log, and the trial function in it."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from ofb_ray.config import Json, TrialSpec
from ofb_ray.errors import InputError
from ofb_ray.results.attempt import results_here, trial_folder
from ofb_ray.results.files import LOG_FILE, SHARED_FOLDER
from ofb_ray.tuning.lifecycle.early_stop import Gate
from ofb_ray.tuning.lifecycle.failures import ATTEMPT


def run_worker(config: Json) -> None:
    """The same trial on a worker beside rank 0, which alone reports and writes."""
    trial_folder(config).mkdir(parents=True, exist_ok=True)
    run_function(config, lambda progress: None)


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
    folder = trial_folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / LOG_FILE).open("a", buffering=1, encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        print(f"{ATTEMPT} {time.strftime('%Y-%m-%d %H:%M:%S')}, process {os.getpid()} on {socket.gethostname()}")
        try:
            yield
        except InputError as error:
            log.write(f"{error}\n")
            raise
        except Exception:
            traceback.print_exc(file=log)
            raise


def run_function(config: Json, report: Callable[[Json], None], gate: Gate | None = None) -> None:
    """Run the trial function in this process.

    Args:
        report: as run_trial's; gate: what stops the trial early, if anything may.
    """
    trial = config["trial"]
    keywords: Json = {"gate": gate} if gate else {}
    keywords |= {"keep_search": True} if config.get("keep_search") else {}
    resolve(config["function"])(
        TrialSpec.model_validate(trial["spec"]),
        report,
        trial_folder(config),
        shared=results_here(config) / SHARED_FOLDER,
        trial=trial["trial"],
        sweep=trial["sweep"],
        explored=trial["params"],
        **keywords,
    )


def resolve(dotted: str) -> Callable[..., Any]:
    """The function `package.module:name`."""
    module, _, name = dotted.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
