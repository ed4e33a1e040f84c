"""A sweep on a real Ray cluster whose processes are killed at random: trials, the driver, a node, the head."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.results.files import WEIGHTS_FILE, trial_folders
from ofb_ray.results.records import read_record
from tests.cluster.nodes import ROOT, Nodes, session_of, wait_for
from tests.small import MODEL

NIGHTLY = pytest.mark.skipif(not os.environ.get("OFB_RAY_NIGHTLY"), reason="takes minutes; OFB_RAY_NIGHTLY=1 runs it")
BUDGETS, TRIALS = [0.4, 0.6], 4
SWEEP: dict[str, Any] = {
    "name": "s",
    "model": MODEL,
    "data": {"train_limit": 300},
    "dense": {"epochs": 10, "batch_size": 32},
    "search": {"epochs": 25, "batch_size": 32},
    "finetune": {"epochs": 25, "batch_size": 32},
    "budgets": BUDGETS,
    "trials": TRIALS,
    "parameters": {"search.one_hot_weight": {"min": 0.1, "max": 2, "log": True}},
    # Its suggestions depend on the number alone; a sampler that learns would depend on which trial ends first.
    "sampler": "random",
    "resources": {"cpus_per_worker": 1, "concurrent": 2},
    "failure": {"retries": 30},
}
# Two chains of four budgets, one trial a point.
CHAIN: dict[str, Any] = {
    **SWEEP,
    "budgets": [0.75, 0.6, 0.45, 0.3],
    "chain": {"epochs": 15},
    "trials": 2,
}
# The head's machine takes the driver with it, unless the driver runs elsewhere.
ROLES = {"trial": 12, "driver": 7, "node": 5, "machine of head and driver": 5, "head": 1}


def command(place: Path, *more: str, sweep: dict[str, Any] = SWEEP) -> list[str]:
    (place / "s.yaml").write_text(json.dumps(sweep))
    return [sys.executable, "-m", "ofb_ray", "sweep", "s.yaml", *more]


@dataclass
class Chaos:
    """One sweep that is killed and resumed until it is done.

    Args:
        place: its working folder.
        rng: decides roles and moments.
        quota: kills that are still to come, by role; taken from here.
        sweep: its file.
    """

    place: Path
    rng: random.Random
    quota: Counter[str]
    sweep: dict[str, Any] = field(default_factory=lambda: SWEEP)
    kills: list[str] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    _nodes: Nodes | None = None
    _driver: subprocess.Popen[str] | None = None
    _seen: dict[Path, bytes] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        return self.place / "results" / "s"

    def run(self) -> None:
        """Until the sweep has ended with exit code 0."""
        try:
            while True:
                self._ensure()
                assert self._driver is not None
                if self.quota and self._trials():
                    self._moment()
                    if self._driver.poll() is None:
                        self._kill(self._choose())
                else:
                    self._sleep(0.5)
                self._look()
                if self._driver and self._driver.poll() == 0:
                    return
        finally:
            self._end()

    def _ensure(self) -> None:
        """A cluster and a driver are there; killed ones are started again."""
        if self._nodes is None:
            self._nodes = Nodes(self.place, tempfile.mkdtemp(prefix="ray", dir="/tmp"), OMP_NUM_THREADS="1")
            wait_for(self._nodes.answers, what="the head did not start")
        workers = [node for node in self._nodes.processes if node is not self._nodes.head and node.poll() is None]
        if not workers:
            self._nodes.add(2)
        code = self._driver.poll() if self._driver else None
        assert code in (None, 0), f"the driver ended by itself: {(self.place / 'driver.log').read_text()[-3000:]}"
        if self._driver is None:
            line = command(self.place, "--address", self._nodes.address, sweep=self.sweep)
            with (self.place / "driver.log").open("a") as log:
                self._driver = subprocess.Popen(
                    line, cwd=self.place, env=self._nodes.environment, text=True, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip

    def _moment(self) -> None:
        """Wait for a random moment: of start-up now and then, mostly of training, when new checkpoints have come."""
        start, end = self._newest(), time.monotonic() + 90
        if self.rng.random() < 0.7:
            while self._newest() == start and self._trials() and time.monotonic() < end:
                self._sleep(0.1)
        self._sleep(self.rng.uniform(0, 3))

    def _newest(self) -> float:
        """When the last checkpoint or record was written."""
        paths = [*self.results.glob("*/state.pt"), *self.results.glob("*/record.json")]
        paths += self.results.glob("shared/*/state.pt")
        times = [0.0]
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                times.append(path.stat().st_mtime)
        return max(times)

    def _trials(self, title: bytes = b"ray::ImplicitFunc") -> list[int]:
        """The processes of trials in this cluster; with several workers, those of rank 0."""
        assert self._nodes is not None
        leaders = {node.pid for node in self._nodes.processes}
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and session_of(int(entry.name)) in leaders:
                try:
                    found_title = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if found_title.startswith(title):
                    found.append(int(entry.name))
        return sorted(found)

    def _choose(self) -> str:
        roles = sorted(self.quota)
        return self.rng.choices(roles, [self.quota[role] for role in roles])[0]

    def _kill(self, role: str) -> None:
        assert self._nodes is not None
        assert self._driver is not None
        if role in ("trial", "other rank"):
            trials = self._trials() if role == "trial" else self._trials(b"ray::_worker")
            if not trials:
                return
            os.kill(self.rng.choice(trials), signal.SIGKILL)
        elif role == "driver":
            self._driver.kill()
            self._driver.wait()
            self._driver = None
        elif role == "node":
            for node in self._nodes.processes:
                if node is not self._nodes.head and node.poll() is None:
                    self._nodes.kill(node)
        else:
            if role != "head":
                self._driver.kill()
            for node in self._nodes.processes:
                self._nodes.kill(node)
            assert self._driver.wait(120) != 0
            self._nodes = self._driver = None
        self.kills.append(role)
        self.quota -= Counter({role: 1})

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._look()
            time.sleep(0.05)

    def _look(self) -> None:
        """A record that was there once stays as it is."""
        for path in self.results.glob("*/record.json"):
            data = path.read_bytes()
            if self._seen.setdefault(path, data) != data:
                self.changed.add(path.parent.name)

    def _end(self) -> None:
        if self._driver is not None and self._driver.poll() is None:
            self._driver.kill()
            self._driver.wait()
        for node in self._nodes.processes if self._nodes else []:
            assert self._nodes is not None
            self._nodes.kill(node)


def outcome(results: Path) -> dict[str, Any]:
    """What each trial came to, by its identity: its record without times and number, and its weights.

    In a chain trials are numbered as the searches above them end.
    """
    found = {}
    for folder in trial_folders(results):
        record = read_record(folder)
        assert record is not None, f"trial {folder.name} has no record"
        known = record.model_dump(exclude={"trial", "seconds", "peak_memory_bytes", "environment", "finished"})
        assert record.key not in found, f"{folder.name} repeats a trial"
        found[record.key] = (known, hash((folder / WEIGHTS_FILE).read_bytes()))
    return found


def undisturbed(place: Path, sweep: dict[str, Any] = SWEEP) -> dict[str, Any]:
    """The outcome of the same sweep, on this machine, killed by nobody."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    done = subprocess.run(command(place, sweep=sweep), cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return outcome(place / "results" / "s")
