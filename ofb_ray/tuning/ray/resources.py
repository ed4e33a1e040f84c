"""Count the trials that fit on the machines there are: Ray would let one that does not wait without a word."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from ofb_ray.config import SweepSpec
from ofb_ray.errors import InputError


@dataclass(frozen=True)
class Machine:
    """This machine, as a sweep uses it.

    Args:
        cpus: logical CPUs.
        gpus: GPUs; 0 without a look where the sweep asks for none.
        slots: trials of the sweep at a time.
    """

    cpus: int
    gpus: int
    slots: int


def this_machine(spec: SweepSpec) -> Machine:
    """Look at this machine, and how many trials of a sweep it runs at a time.

    Raises:
        InputError: not even one fits.
    """
    cpus, gpus = os.cpu_count() or 1, _count_gpus() if spec.resources.gpus else 0
    fits = check_nodes(spec, "this machine", [{"CPU": float(cpus), "GPU": float(gpus)}])
    return Machine(cpus, gpus, min(spec.resources.concurrent or fits, fits))


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def check_nodes(spec: SweepSpec, where: str, nodes: list[dict[str, float]]) -> int:
    """Count the trials that fit on nodes at a time; the workers of one may lie on several nodes.

    Args:
        where: what the nodes are, for the error.
        nodes: CPUs and GPUs of each, by Ray's names.
    Raises:
        InputError: not even one does.
    """
    asked = spec.resources
    workers = 0
    for node in nodes:
        by_cpu = node.get("CPU", 0.0) / asked.cpus_per_worker
        by_gpu = node.get("GPU", 0.0) / asked.gpus_per_worker if asked.gpus_per_worker else by_cpu
        workers += math.floor(min(by_cpu, by_gpu))
    if fits := workers // asked.workers:
        return fits
    for key, name in (("gpus_per_worker", "GPU"), ("cpus_per_worker", "CPU")):
        wanted, there = getattr(asked, key), sum(node.get(name, 0.0) for node in nodes)
        if wanted * asked.workers > there:
            each = f"{wanted:g} {name}{'s' * (wanted != 1)}"
            team = f"{asked.workers} workers with {each} each" if asked.workers > 1 else each
            raise InputError(
                f"a trial asks for {team}, {where} has {there:g}: ask for less",
                key=f"resources.{key}",
            )
    raise InputError(
        f"{where} has room for {workers} of a trial's {asked.workers} workers "
        f"({asked.cpus_per_worker:g} CPUs and {asked.gpus_per_worker:g} GPUs each, on one machine): ask for less",
        key="resources",
    )
