"""A clock that jumps by an hour under a running sweep, and a store that nobody reaches for a while."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from ofb_ray.results.lease import LEASE_VARIABLE
from ofb_ray.results.locations import CACHE_VARIABLE
from tests.cluster.wire import THERE, Wire
from tests.faults.chaos import NIGHTLY
from tests.results.store import BUCKET, server
from tests.tuning.fake import EPOCH_SECONDS
from tests.tuning.test_launch import ROOT, command, epochs, known

CUT_SECONDS = 60.0
# In every Python process of the sweep: the wall clock is off by what a file says. Steady clocks do not jump.
_CLOCK = """
import os, time
real = time.time
def jumping():
    with open(os.environ["OFB_TEST_CLOCK"]) as file:
        return real() + float(file.read() or 0)
time.time = jumping
"""


def begin(place: Path, line: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(line, cwd=place, env={**known(), **environment}, stdout=pipe, stderr=pipe, text=True)


def of_both(work: Path) -> dict[int, Counter[int]]:
    """How often each epoch of both trials was trained."""
    return {number: Counter(epoch for _, epoch in epochs(work, number)) for number in (0, 1)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_clock_that_jumps_by_an_hour_changes_nothing(tmp_path: Path, kind: str) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(_CLOCK)
    clock = {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "OFB_TEST_CLOCK": str(offset),
        EPOCH_SECONDS: "1.5",
    }
    with server() as s3:
        place = {**s3, LEASE_VARIABLE: "20", CACHE_VARIABLE: str(tmp_path / "cache")} if kind == "s3" else {}
        line = [*command(tmp_path, budgets=[0.5], seeds=[0, 1], search={"epochs": 8})]
        line += ["--storage", f"s3://{BUCKET}/results"] if kind == "s3" else []
        process = begin(tmp_path, line, {**clock, **place})
        for jump in ("3600", "-3600", "0"):
            time.sleep(5)
            offset.write_text(jump)
        out, error = process.communicate(timeout=240)
    assert process.returncode == 0, out + error
    assert out.count("goes on from its checkpoint") == 0
    work = tmp_path / "results" / "s" if kind == "folder" else next((tmp_path / "cache").glob("*/work"))
    assert of_both(work) == {0: Counter(range(8)), 1: Counter(range(8))}


@NIGHTLY
@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
@pytest.mark.parametrize("how", ["cut", "stopped"])
def test_a_store_that_is_gone_for_a_minute_loses_nothing(tmp_path: Path, wire: Wire, how: str) -> None:
    with server(host=THERE, through=wire.through) as s3:
        line = [*command(tmp_path, budgets=[0.5], seeds=[0, 1], search={"epochs": 12})]
        line += ["--storage", f"s3://{BUCKET}/results"]
        cache = tmp_path / "cache"
        slowly = {EPOCH_SECONDS: "2", LEASE_VARIABLE: "20", CACHE_VARIABLE: str(cache)}
        process = begin(tmp_path, line, {**s3, **slowly})
        end = time.monotonic() + 120
        while not list(cache.rglob("00001/epochs.log")):
            assert time.monotonic() < end, "the second trial did not begin"
            time.sleep(0.2)
        if how == "cut":
            wire.set("down")
            time.sleep(CUT_SECONDS)
            wire.set("up")
        else:
            subprocess.run(["pkill", "-STOP", "-f", f"moto.server.*{THERE}"], check=True)
            time.sleep(CUT_SECONDS)
            subprocess.run(["pkill", "-CONT", "-f", f"moto.server.*{THERE}"], check=True)
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, out + error
        done = of_both(next(cache.glob("*/work")))
        print(out[-1500:], done)
        assert all(set(trained) == set(range(12)) for trained in done.values())
        # A trial that lost its lease may have trained the epoch that was under way once more.
        assert sum(trained.total() for trained in done.values()) <= 24 + 2
        again = begin(tmp_path, line, {**s3, CACHE_VARIABLE: str(tmp_path / "fresh")})
        out, error = again.communicate(timeout=120)
        assert again.returncode == 0, out + error
        assert "2 finished" in out
