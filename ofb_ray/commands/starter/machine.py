"""Look at this machine: processors, memory, GPUs."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

GIB = 1 << 30
# The memory of a container, where it is less than the machine's.
_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Machine:
    """What trials have here.

    Args:
        cpus: logical CPUs.
        memory: in bytes.
        gpus: number of GPUs, `gpu` the name of the first.
    """

    cpus: int
    memory: int
    gpus: int
    gpu: str

    @property
    def words(self) -> str:
        """The machine in a line."""
        gpus = f"{self.gpus} GPU{'s' * (self.gpus > 1)} ({self.gpu})" if self.gpus else "no GPU"
        return f"machine: {self.cpus} CPUs, {self.memory / GIB:.0f} GiB of memory, {gpus}"


def this_machine() -> Machine:
    """Look at it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        memory = min(memory, int(_LIMIT.read_text()))
    gpus = torch.cuda.device_count()
    return Machine(os.cpu_count() or 1, memory, gpus, torch.cuda.get_device_name(0) if gpus else "")
