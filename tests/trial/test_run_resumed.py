"""kill -9 at random moments of every phase, resumed: the record equals that of an uninterrupted run, bit for bit."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

# Prints a line a report, so that the test knows where the process is.
SCRIPT = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from ofb_ray.trial import run_trial
from tests.small import small_spec
spec = small_spec(dense={"epochs": 4}, search={"epochs": 4}, finetune={"epochs": 4})
folder = Path(sys.argv[1])
run_trial(spec, lambda report: print(report["phase"], flush=True), folder / "trial", shared=folder / "shared")
"""


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True)


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
        assert process.stdout is not None
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
