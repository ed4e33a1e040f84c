"""Count the trials that fit on the machines there are: Ray would let one that does not wait without a word."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ofb_ray.config import SweepSpec
from ofb_ray.config.schedule import Resources
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
    workers = _workers(nodes, asked.cpus_per_worker, asked.gpus_per_worker)
    if fits := workers // asked.workers:
        return fits
    remedy = _remedy(asked, nodes)
    for key, name in (("gpus_per_worker", "GPU"), ("cpus_per_worker", "CPU")):
        wanted, there = getattr(asked, key), sum(node.get(name, 0.0) for node in nodes)
        if wanted * asked.workers > there:
            each = f"{wanted:g} {name}{'s' * (wanted != 1)}"
            team = f"{asked.workers} workers with {each} each" if asked.workers > 1 else each
            raise InputError(
                f"a trial asks for {team}, {where} has {there:g}: {remedy}",
                key=f"resources.{key}",
            )
    raise InputError(
        f"{where} has room for {workers} of a trial's {asked.workers} workers "
        f"({asked.cpus_per_worker:g} CPUs and {asked.gpus_per_worker:g} GPUs each, on one machine): {remedy}",
        key="resources",
    )


def _workers(nodes: Sequence[Mapping[str, float]], cpus: float, gpus: float) -> int:
    """Count the workers of so many CPUs and GPUs each that fit on nodes."""
    workers = 0
    for node in nodes:
        by_cpu = node.get("CPU", 0.0) / cpus
        workers += math.floor(min(by_cpu, node.get("GPU", 0.0) / gpus if gpus else by_cpu))
    return workers


def _remedy(asked: Resources, nodes: Sequence[Mapping[str, float]]) -> str:
    """Say with which flags a trial fits: rather fewer CPUs a worker than fewer workers; one worker without GPUs."""
    gpus, largest = asked.gpus_per_worker, max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    if gpus and not any(node.get("GPU", 0.0) >= gpus for node in nodes):
        kept = "" if asked.concurrent is None else f", concurrent: {asked.concurrent}"
        less = [f"resources={{cpus_per_worker: {min(asked.cpus_per_worker, largest):g}{kept}}}"] if largest else []
        purpose = "to train on CPUs "
    else:
        choices = [asked.cpus_per_worker, *range(math.floor(min(asked.cpus_per_worker, largest)), 0, -1)]
        cpus = max(choices, key=lambda cpus: (min(asked.workers, _workers(nodes, cpus, gpus)), cpus))
        workers, purpose = min(asked.workers, _workers(nodes, cpus, gpus)), ""
        changed = [("workers", asked.workers, workers), ("cpus_per_worker", asked.cpus_per_worker, cpus)]
        less = [f"resources.{key}={value:g}" for key, old, value in changed if value != old] if workers else []
    return f"{purpose}add {' '.join(f'--set {shlex.quote(each)}' for each in less)}" if less else "ask for less"
