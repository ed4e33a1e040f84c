"""The network between driver and node is cut for a minute, so that each side believes the other dead."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

import pytest

from ofb_ray.results.facts import read_facts
from ofb_ray.results.lease import LEASE_VARIABLE
from ofb_ray.results.locations import CACHE_VARIABLE
from tests.cluster.nodes import Nodes, wait_for
from tests.cluster.test_two_nodes import EPOCHS, check_complete, drive, epochs
from tests.cluster.wire import HERE, THERE, Wire
from tests.faults.chaos import NIGHTLY
from tests.results.store import BUCKET, server
from tests.tuning.fake import EPOCH_SECONDS

CUT_SECONDS = 60.0


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
