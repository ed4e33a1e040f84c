"""Sweeps on real Ray clusters of several nodes on loopback: a node dies, the head dies, the token is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ofb_ray.results.facts import read_facts
from ofb_ray.results.files import trial_folder
from tests.cluster.nodes import Nodes, running, session_of, wait_for
from tests.tuning.fake import EPOCH_SECONDS

EPOCHS = 16
SWEEP = {
    "name": "s",
    "model": {"args": {"patch_size": 4, "embed_dim": 64, "depth": 2, "num_heads": 4}},
    "search": {"epochs": EPOCHS},
    "budgets": [0.5, 0.75],
    "seeds": [0, 1],
    "resources": {"cpus_per_worker": 1, "concurrent": 2},
}


@pytest.fixture
def temporary() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as path:
        yield path


def drive(tmp_path: Path, nodes: Nodes, *more: str, **environment: str) -> subprocess.Popen[str]:
    (tmp_path / "s.yaml").write_text(json.dumps(SWEEP))
    line = ["sweep", "s.yaml", "--trial-function", "tests.tuning.fake:run_trial", "--address", nodes.address, *more]
    return subprocess.Popen(
        [sys.executable, "-m", "ofb_ray", *line],
        cwd=tmp_path,
        env={key: value for key, value in {**nodes.environment, **environment}.items() if value},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def epochs(results: Path, number: int) -> list[tuple[int, int]]:
    """(process, epoch) of each epoch that was trained, in order."""
    path = trial_folder(results, number) / "epochs.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def check_complete(results: Path) -> int:
    """Every trial has its record; returns the epochs that were trained more than once."""
    facts = read_facts(results)
    assert [fact.state for fact in facts] == ["finished"] * 4
    repeated = 0
    for number in range(4):
        done = Counter(epoch for _, epoch in epochs(results, number))
        assert set(done) == set(range(EPOCHS))
        attempts = len({process for process, _ in epochs(results, number)})
        # An epoch that was under way when its process was killed is the only one that may be trained twice.
        assert sum(done.values()) - EPOCHS <= attempts - 1
        repeated += sum(done.values()) - EPOCHS
    return repeated


@pytest.mark.slow
def test_a_node_dies_and_the_sweep_ends_complete(tmp_path: Path, temporary: str) -> None:
    results = tmp_path / "results" / "s"
    # Each node has room for both trials, so the one that is left takes over at once.
    with running(tmp_path, temporary, workers=(2, 2), **{EPOCH_SECONDS: "0.6"}) as nodes:
        driver = drive(tmp_path, nodes)
        wait_for(lambda: len(epochs(results, 0)) >= 3 and len(epochs(results, 1)) >= 3)
        process = epochs(results, 0)[-1][0]
        (victim,) = (node for node in nodes.processes if node.pid == session_of(process))
        hit = {n for n in (0, 1) if session_of(epochs(results, n)[-1][0]) == victim.pid}
        before = {number: len(epochs(results, number)) for number in hit}
        nodes.kill(victim)
        killed = time.monotonic()
        wait_for(lambda: all(len(epochs(results, n)) > before[n] + 1 for n in hit), what="the trials stand still")
        lost = time.monotonic() - killed
        out, error = driver.communicate(timeout=120)
    assert driver.returncode == 0, out + error
    print(f"a node died under {len(hit)} trial(s): at most {lost:.1f} s until they ran again")
    assert out.count("goes on from its checkpoint") == len(hit)
    assert check_complete(results) <= len(hit)
    assert lost < 40


@pytest.mark.slow
def test_the_head_dies_and_a_new_cluster_goes_on(tmp_path: Path, temporary: str) -> None:
    results = tmp_path / "results" / "s"
    with running(tmp_path, temporary, workers=(2,), **{EPOCH_SECONDS: "0.5"}) as nodes:
        driver = drive(tmp_path, nodes)
        wait_for(lambda: len(epochs(results, 0)) >= 2)
        nodes.kill(nodes.head)
        killed = time.monotonic()
        out, error = driver.communicate(timeout=90)
        lasted = time.monotonic() - killed
        print(f"the head died: the driver ended after {lasted:.0f} s")
        assert driver.returncode == 1, out + error
        assert "is gone: its head has not answered for 40 s. To go on, run the same command with --resume" in error
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as other, running(tmp_path, other, (2,)) as nodes:
        driver = drive(tmp_path, nodes, "--resume")
        out, error = driver.communicate(timeout=120)
        assert driver.returncode == 0, out + error
    check_complete(results)


@pytest.mark.slow
def test_a_cluster_that_we_may_not_join_is_told_in_one_line(tmp_path: Path, temporary: str) -> None:
    with running(tmp_path, temporary, workers=()) as nodes:
        for token in ("", "f" * 32):
            home = {"RAY_AUTH_MODE": "token" if token else "", "RAY_AUTH_TOKEN": token, "HOME": str(tmp_path)}
            driver = drive(tmp_path, nodes, **home)
            out, error = driver.communicate(timeout=90)
            assert driver.returncode == 2, out + error
            assert error.count("\n") == 1
            assert "--address: the cluster wants its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in error
            assert not (tmp_path / "results" / "s").exists()
