"""Run the workers of one trial as processes of this machine, without Ray."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from ofb_ray.config import TrialSpec
from ofb_ray.errors import InputError, Interrupted
from ofb_ray.results.files import SHARED_FOLDER
from ofb_ray.train.rendezvous import free_address
from ofb_ray.train.team import process_group
from ofb_ray.trial.run import run_trial

# A worker that lost its peer waits so long for rank 0, which sees the same, reports it and ends the worker.
_PATIENCE_SECONDS = 5.0
_DEATH_SECONDS = 2.0
# No collective notices a worker that died before it joined, and NCCL's may not notice any.
_GRACE_SECONDS = 10.0
_GO_ON = "the same command goes on from the last checkpoint"


@contextlib.contextmanager
def local_team(world: int, spec: TrialSpec, workdir: Path, sweep: str) -> Iterator[None]:
    """Make this process rank 0 of `world` workers; the others run the same trial, worker r on GPU r if any.

    Args:
        world: number of workers; 1 starts none.
        workdir: as in `run_trial`, and its `shared` below.
    Raises:
        InputError: fewer GPUs than workers on a machine with GPUs, or bad input that a worker met.
        Interrupted: a worker died; the trial goes on from its checkpoint when it is called again.
    """
    if world == 1:
        yield
        return
    gpus = torch.cuda.device_count()
    if gpus and gpus < world:
        raise InputError(f"{world} workers need as many GPUs, this machine has {gpus}", key="resources.workers")
    address = free_address("127.0.0.1")
    context = multiprocessing.get_context("spawn")
    faults = context.SimpleQueue()
    tree = spec.model_dump(mode="json")
    # No daemons: those may not have the processes that decode images.
    others = [
        context.Process(target=_work, args=(rank, world, address, tree, workdir, sweep, faults))
        for rank in range(1, world)
    ]
    done = threading.Event()
    try:
        with _ignore_sigint():
            for process in others:
                process.start()
        threading.Thread(target=_watch, args=(others, done), daemon=True).start()
        with process_group(0, world, address):
            yield
        for process in others:
            process.join()
    except RuntimeError:
        multiprocessing.connection.wait([process.sentinel for process in others], _DEATH_SECONDS)
        if not faults.empty():
            raise faults.get() from None
        _raise_death(others)
        raise
    finally:
        done.set()
        for process in others:
            if process.pid is not None:
                process.terminate()
                process.join()


@contextlib.contextmanager
def _ignore_sigint() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which reaches all of a terminal: rank 0 ends them, in one line."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _raise_death(others: Sequence[SpawnProcess]) -> None:
    """Name the first worker that died, if any.

    Raises:
        Interrupted: one did.
    """
    for rank, process in enumerate(others, 1):
        if process.exitcode:
            how = f"signal {-process.exitcode}" if process.exitcode < 0 else f"exit code {process.exitcode}"
            raise Interrupted(f"worker {rank} died ({how}); {_GO_ON}") from None


def _watch(others: Sequence[SpawnProcess], done: threading.Event) -> None:
    """End this process if a worker died and no collective has noticed."""
    while not done.wait(1):
        if any(_died(process) for process in others) and not done.wait(_GRACE_SECONDS):
            print(f"ofb-ray: a worker died; {_GO_ON}", file=sys.stderr, flush=True)
            os._exit(1)


def _died(process: SpawnProcess) -> bool:
    """Say whether a process died, without reaping it: the main thread does, and only one of two gets the exit code."""
    try:
        end = os.waitid(os.P_PID, process.pid or 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        return False
    return end is not None and end.si_status != 0


def _work(rank: int, world: int, address: str, tree: dict[str, Any], workdir: Path, sweep: str, faults: Any) -> None:
    """Run the trial as worker `rank`; bad input that it meets goes back through `faults`."""
    # A spawned process would spawn its own, too: each process that decodes images would import torch anew.
    multiprocessing.set_start_method(None, force=True)
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    with process_group(rank, world, address):
        try:
            spec = TrialSpec.model_validate(tree)
            run_trial(spec, lambda progress: None, workdir, shared=workdir / SHARED_FOLDER, sweep=sweep)
        except InputError as error:
            faults.put(error)
        except RuntimeError:
            time.sleep(_PATIENCE_SECONDS)
            parent = multiprocessing.parent_process()
            if parent is not None and parent.is_alive():
                raise
