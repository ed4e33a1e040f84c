"""Run a function as several workers of one trial: gloo processes on this machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from ofb_ray.config import TrialSpec
from ofb_ray.train import team
from ofb_ray.train.rendezvous import free_address
from ofb_ray.train.team import Team
from tests.processes import CONTEXT

Job = Callable[[TrialSpec, Team], Any]


def in_processes(
    job: Job, spec: TrialSpec, folder: Path, world: int = 2, timeout: timedelta = team.TIMEOUT
) -> list[Any]:
    """What `job` returns on every rank of `world` processes, which wait for each other no longer than `timeout`."""
    address = free_address("127.0.0.1")
    processes = [
        CONTEXT.Process(target=_joined, args=(job, spec, rank, world, address, folder, timeout))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * world
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


def _joined(job: Job, spec: TrialSpec, rank: int, world: int, address: str, folder: Path, timeout: timedelta) -> None:
    torch.set_num_threads(1)
    team.TIMEOUT = timeout
    with team.process_group(rank, world, address) as joined:
        torch.save(job(spec, joined), folder / f"{rank}.pt")
