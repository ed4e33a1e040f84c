"""kill -9 at random moments of every phase, resumed: the record equals that of an uninterrupted run, bit for bit."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.trial.run import run_trial
from tests.processes import Forked
from tests.small import small_spec


def train(folder: Path) -> None:
    """Run the trial of `folder`; prints a line a report, so that the test knows where the process is."""
    spec = small_spec(dense={"epochs": 4}, search={"epochs": 4}, finetune={"epochs": 4})
    run_trial(spec, lambda report: print(report["phase"], flush=True), folder / "trial", shared=folder / "shared")


def start(folder: Path) -> Forked:
    return Forked(train, folder, cwd=folder, env=os.environ)


def comparable(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "trial" / "record.json").read_text())
    return {key: value for key, value in record.items() if key not in ("seconds", "peak_memory_bytes", "finished")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert start(folder).wait() == 0
    return folder


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_in_every_phase(uninterrupted: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    killed = 0
    for phase in ("dense", "search", "finetune"):
        process = start(tmp_path)
        for line in process.stdout:
            if line.strip() == phase:
                time.sleep(rng.uniform(0, 0.15))
                process.kill()
                killed += 1
                break
        process.wait()
    assert killed == 3
    assert start(tmp_path).wait() == 0
    assert comparable(tmp_path) == comparable(uninterrupted)
    weights = [folder / "trial" / "model.safetensors" for folder in (tmp_path, uninterrupted)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
