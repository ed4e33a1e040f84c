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

from ofb_ray.config import Json
from ofb_ray.config.modules import make_importable
from ofb_ray.errors import InputError
from ofb_ray.results.files import LOG_FILE, SHARED_FOLDER
from ofb_ray.tuning.lifecycle.early_stop import EarlyStop
from ofb_ray.tuning.ray.job import Job


def run_worker(job: Job) -> None:
    """Run the trial on a worker beside rank 0, which alone reports and writes."""
    job.folder.mkdir(parents=True, exist_ok=True)
    run_function(job, lambda progress: None)


def prepare_process(job: Job) -> None:
    """Go to the driver's folder, where relative paths start, import the function, take a torch thread for each CPU."""
    if os.path.isdir(job.here):  # Ray has gone to a folder of its own; another machine may lack the driver's
        os.chdir(job.here)
    for folder in job.modules:
        make_importable(folder)
    resolve(job.function)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(max(1, int(job.cpus)))


@contextlib.contextmanager
def logged(job: Job) -> Iterator[None]:
    """Write everything that is printed or raised into the trial's log."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with (
        (job.folder / LOG_FILE).open("a", buffering=1, encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        print(f"=== attempt {time.strftime('%Y-%m-%d %H:%M:%S')}, process {os.getpid()} on {socket.gethostname()}")
        try:
            yield
        except InputError as error:
            log.write(f"{error}\n")
            raise
        except Exception:
            traceback.print_exc(file=log)
            raise


def run_function(job: Job, report: Callable[[Json], None], gate: EarlyStop | None = None) -> None:
    """Run the trial function in this process.

    Args:
        report: as run_trial's.
        gate: may stop the trial early, see run_trial.
    """
    # A trial function that knows neither keyword can be swept as well, as long as the sweep asks for neither.
    keywords: Json = {"gate": gate} if gate else {}
    keywords |= {"keep_search": True} if job.keep_search else {}
    resolve(job.function)(
        job.trial.resolved(),
        report,
        job.folder,
        shared=job.results_here / SHARED_FOLDER,
        trial=job.trial.trial,
        sweep=job.trial.sweep,
        explored=job.trial.params,
        **keywords,
    )


def resolve(dotted: str) -> Callable[..., Any]:
    """Import the function `package.module:name`."""
    module, _, name = dotted.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
