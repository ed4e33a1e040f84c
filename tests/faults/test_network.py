"""The network between driver and node is cut for a minute, so that each side believes the other dead."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ofb_ray.results.facts import read_facts
from ofb_ray.results.lease import LEASE_VARIABLE
from ofb_ray.results.locations import CACHE_VARIABLE
from tests.cluster.nodes import Nodes, wait_for
from tests.cluster.test_two_nodes import EPOCHS, check_complete, drive, epochs
from tests.faults.chaos import NIGHTLY
from tests.results.store import BUCKET, server
from tests.tuning.fake import EPOCH_SECONDS

CUT_SECONDS = 60.0
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


def kill_all(nodes: Nodes) -> None:
    for node in nodes.processes:
        nodes.kill(node)


def trained_in(folders: list[Path]) -> dict[int, list[tuple[int, int]]]:
    """(process, epoch) of every epoch of each trial, in whatever copy of the results it was trained."""
    return {n: [entry for folder in folders for entry in epochs(folder, n)] for n in range(4)}


@NIGHTLY
@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_cut_network_ends_in_one_record_a_trial(tmp_path: Path, wire: Wire, kind: str) -> None:
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray", dir="/tmp"))
        environment = {EPOCH_SECONDS: "2.5"}
        more: tuple[str, ...] = ()
        if kind == "s3":
            environment |= stack.enter_context(server(host=HERE)) | {LEASE_VARIABLE: "20"}
            environment[CACHE_VARIABLE] = str(tmp_path / "here")
            more = ("--storage", f"s3://{BUCKET}/results")
        nodes = Nodes(tmp_path, temporary, HERE, **environment)
        stack.callback(kill_all, nodes)
        wait_for(nodes.answers, what="the head did not start")
        # The far node's working copy is its own, as on another machine.
        far = ("env", f"{CACHE_VARIABLE}={tmp_path / 'there'}", *wire.through)
        nodes.add(1, THERE, through=far)
        wait_for(lambda: nodes.alive() == 2, what="the far node did not join")
        nodes.add(1, HERE)
        wait_for(lambda: nodes.alive() == 3, what="the near node did not join")
        driver = drive(tmp_path, nodes, *more)
        copies = [tmp_path / "results" / "s"] if kind == "folder" else []
        if kind == "s3":
            wait_for(lambda: len(list(tmp_path.glob("*ere/**/epochs.log"))) >= 2, 90, "no trial began")
            copies = sorted({path.parent.parent for path in tmp_path.glob("*ere/**/epochs.log")})
        wait_for(lambda: all(len(trained_in(copies)[n]) >= 3 for n in (0, 1)), 90, "the trials stand still")
        wire.set("down")
        cut = time.monotonic()
        time.sleep(CUT_SECONDS)
        wire.set("up")
        out, error = driver.communicate(timeout=400)
        print(out[-3000:], error[-2000:], f"{time.monotonic() - cut:.0f} s from the cut to the end")
        assert driver.returncode == 0, out + error
        if kind == "folder":
            check_complete(tmp_path / "results" / "s")
        else:
            trained = trained_in(copies)
            facts = read_facts(copies[0])
            assert [fact.state for fact in facts] == ["finished"] * 4
            assert all({epoch for _, epoch in done} == set(range(EPOCHS)) for done in trained.values())
