"""The workers of one trial as processes of this machine, without Ray."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ofb_ray.errors import InputError
from ofb_ray.spec import TrialSpec
from ofb_ray.train.team import free_address, joined
from ofb_ray.trial import run_trial


@contextlib.contextmanager
def local_team(world: int, spec: TrialSpec, workdir: Path, sweep: str) -> Iterator[None]:
    """This process as rank 0 of `world` workers; the others run the same trial, worker r on GPU r if any.

    Raises:
        InputError: fewer GPUs than workers on a machine with GPUs.
    """
    if world == 1:
        yield
        return
    gpus = torch.cuda.device_count()
    if gpus and gpus < world:
        raise InputError(f"{world} workers need as many GPUs, this machine has {gpus}", key="resources.workers")
    address = free_address("127.0.0.1")
    context = multiprocessing.get_context("spawn")
    tree = spec.model_dump(mode="json")
    others = [
        context.Process(target=_work, args=(rank, world, address, tree, workdir, sweep), daemon=True)
        for rank in range(1, world)
    ]
    for process in others:
        process.start()
    try:
        with joined(0, world, address):
            yield
        for process in others:
            process.join()
    finally:
        for process in others:
            process.terminate()


def _work(rank: int, world: int, address: str, tree: dict[str, Any], workdir: Path, sweep: str) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    with joined(rank, world, address):
        run_trial(
            TrialSpec.model_validate(tree), lambda progress: None, workdir, shared=workdir / "shared", sweep=sweep
        )
