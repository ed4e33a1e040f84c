"""A network between two machines that can be cut: one of them is a network name space of this one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

HERE, THERE = "10.199.7.1", "10.199.7.2"


@dataclass(frozen=True)
class Wire:
    """A pair of network devices, one of them in a name space of its own, in which a node runs."""

    name: str

    @property
    def through(self) -> tuple[str, ...]:
        return "ip", "netns", "exec", self.name

    def set(self, state: str) -> None:
        """`up` or `down`: nothing gets through, and nobody is told."""
        subprocess.run(["ip", "link", "set", f"{self.name}-a", state], check=True)
