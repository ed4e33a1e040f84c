"""Whether a trial fits on the machines there are: Ray would let it wait for ever without a word."""

from __future__ import annotations

import math
import os

from ofb_ray.config import SweepSpec
from ofb_ray.errors import InputError


def local_gpus(spec: SweepSpec) -> int:
    """The GPUs of this machine; 0 without looking where the sweep asks for none."""
    if not spec.resources.gpus:
        return 0
    import torch

    return torch.cuda.device_count()


def local_slots(spec: SweepSpec) -> int:
    """How many trials of the sweep run at a time on this machine.

    Raises:
        InputError: not even one fits.
    """
    node = {"CPU": float(os.cpu_count() or 1), "GPU": float(local_gpus(spec))}
    fits = check_nodes(spec, "this machine", [node])
    return min(spec.resources.concurrent or fits, fits)


def check_nodes(spec: SweepSpec, where: str, nodes: list[dict[str, float]]) -> int:
    """The trials that fit on the nodes at a time; the workers of one may lie on several nodes.

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
