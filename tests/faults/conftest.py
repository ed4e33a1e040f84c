"""What the tests of faults share."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.cluster.wire import HERE, THERE, Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    name = f"ofb{os.getpid()}"
    lines = [
        f"ip netns add {name}",
        f"ip link add {name}-a type veth peer name {name}-b netns {name}",
        f"ip addr add {HERE}/24 dev {name}-a",
        f"ip link set {name}-a up",
        f"ip netns exec {name} ip addr add {THERE}/24 dev {name}-b",
        f"ip netns exec {name} ip link set {name}-b up",
        f"ip netns exec {name} ip link set lo up",
    ]
    try:
        for line in lines:
            try:
                done = subprocess.run(line.split(), capture_output=True)
            except FileNotFoundError:
                pytest.skip("a network of its own needs iproute2")
            if done.returncode:
                pytest.skip("a network of its own needs root")
        yield Wire(name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            # The devices would outlive their name space for as long as one of its processes does.
            subprocess.run(["ip", "link", "del", f"{name}-a"], capture_output=True)
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
