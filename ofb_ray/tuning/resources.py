"""Whether a trial fits on the machines there are: Ray would let it wait for ever without a word."""

from __future__ import annotations

import math
import os

from ofb_ray.errors import InputError
from ofb_ray.spec import SweepSpec


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
    fits = check_nodes(spec, "this machine has", [node])
    return min(spec.resources.concurrent or fits, fits)


def check_nodes(spec: SweepSpec, where: str, nodes: list[dict[str, float]]) -> int:
    """The trials that fit on the nodes at a time.

    Raises:
        InputError: not even one does.
    """
    asked = spec.resources
    fits = 0
    for node in nodes:
        by_cpu = node.get("CPU", 0.0) / asked.cpus
        fits += math.floor(min(by_cpu, node.get("GPU", 0.0) / asked.gpus) if asked.gpus else by_cpu)
    if not fits:
        for key, name in (("cpus", "CPU"), ("gpus", "GPU")):
            most = max((node.get(name, 0.0) for node in nodes), default=0.0)
            if getattr(asked, key) > most:
                raise InputError(
                    f"a trial asks for {getattr(asked, key):g} {name}s, {where} {most:g}: ask for less",
                    key=f"resources.{key}",
                )
        raise InputError(f"no machine has {asked.cpus:g} CPUs and {asked.gpus:g} GPUs at once", key="resources")
    return fits
