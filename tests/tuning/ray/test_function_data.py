"""A sweep under Ray over a data set that only a module beside its sweep file knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ofb_ray.results.records import read_record
from tests.small import MODEL

ROOT = Path(__file__).parent.parent.parent.parent
MODULE = """
from tests.data.toy import Toy

def sets(size):
    return Toy(size), Toy(60, first=size)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_every_worker_imports_the_module_beside_the_sweep_file(workers: int, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine" / "only_beside_it.py").write_text(MODULE)
    sweep = {
        "name": "s",
        "model": MODEL,
        "data": {"name": "only_beside_it:sets", "args": {"size": 100}, "image_size": 8},
        **{phase: {"epochs": 1} for phase in ("dense", "search", "finetune")},
        "budgets": [0.5, 0.75],
        "resources": {"cpus_per_worker": 1, "workers": workers, "concurrent": 2 // workers},
    }
    (tmp_path / "mine" / "s.yaml").write_text(json.dumps(sweep))
    answer = subprocess.run(
        [sys.executable, "-m", "ofb_ray", "sweep", "../mine/s.yaml"],
        cwd=tmp_path / "elsewhere",
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    for number in range(2):
        record = read_record(tmp_path / "elsewhere" / "results" / "s" / f"{number:05d}")
        assert record is not None
        assert record.environment["workers"] == workers
        assert record.environment["train_images"] + record.environment["val_images"] == 100
        assert record.subnet is not None
        assert record.subnet.top1_test is not None
