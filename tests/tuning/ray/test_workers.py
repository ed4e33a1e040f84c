"""A sweep whose trials have two workers: real trials, real gloo, a real kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.results.records import read_record
from tests.data.making import make_folder
from tests.small import small_spec

ROOT = Path(__file__).parent.parent.parent.parent


def run(folder: Path, what: str, name: str, trial: Path, *arguments: str) -> dict[str, Any]:
    """The record of `ofb-ray WHAT` on a sweep of one trial of two workers."""
    spec = small_spec(dense={"epochs": 1}, search={"epochs": 6}, finetune={"epochs": 1}).model_dump(mode="json")
    del spec["budget"], spec["seed"]
    tree = {**spec, "name": name, "budgets": [0.5], "resources": {"workers": 2}}
    (folder / f"{name}.yaml").write_text(json.dumps(tree))
    answer = command(folder, what, f"{name}.yaml", *arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    record: dict[str, Any] = json.loads((folder / trial / "record.json").read_text())
    return record


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line, environment = [sys.executable, "-m", "ofb_ray", *arguments], {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(line, cwd=folder, env=environment, text=True, capture_output=True, timeout=240)


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_that_was_finished(tmp_path: Path) -> None:
    """Rank 1 dies by SIGKILL in the search: the trial goes on from its checkpoint under Ray, and ends with the numbers
    of two workers that no Ray started and nobody killed."""
    folder = Path("results") / "killed" / "00000"
    function = ("--trial-function", "tests.tuning.ray.killer:run_trial")
    killed = run(tmp_path, "sweep", "killed", folder, *function)
    whole = run(tmp_path, "trial", "whole", Path("alone"), "--out", "alone")
    assert whole["status"] == killed["status"] == "finished"
    assert whole["environment"]["workers"] == killed["environment"]["workers"] == 2
    log = (tmp_path / folder / "trial.log").read_text()
    assert "Error" in log or "a worker ended" in log
    assert (tmp_path / folder / "killed").exists()
    for key in ("history", "events", "arch", "dense", "subnet", "budget"):
        assert whole[key] == killed[key], key


@pytest.mark.slow
def test_bad_input_ends_a_trial_at_its_first_attempt_and_says_why(tmp_path: Path) -> None:
    """An image that cannot be read, in a folder that is named from where the command is given."""
    make_folder(tmp_path / "pictures")
    (tmp_path / "pictures" / "train" / "red" / "000.png").write_bytes(b"")
    spec = small_spec().model_dump(mode="json", include={"search", "finetune"})
    model = {"args": {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 4}}
    data = {"name": "folder", "root": "pictures", "image_size": 8}
    (tmp_path / "s.yaml").write_text(json.dumps({**spec, "name": "s", "model": model, "data": data, "budgets": [0.5]}))
    answer = command(tmp_path, "sweep", "s.yaml")
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "trial 0 died: data.unreadable: 1 of 20 train images cannot be read, 0 may be" in answer.stdout
    log = (tmp_path / "results" / "s" / "00000" / "trial.log").read_text()
    assert log.count("data.unreadable") == 1
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_budget_that_its_table_shows_to_be_out_of_reach_fails_and_the_others_go_on(tmp_path: Path) -> None:
    spec = small_spec().model_dump(mode="json", include={"model", "data", "dense", "search", "finetune"})
    limits = {"budgets": [{"latency": 0.001}, {"latency": 0.99}], "latency": {"seconds": 5, "threads": 1}}
    (tmp_path / "s.yaml").write_text(json.dumps({**spec, **limits, "name": "s"}))
    answer = command(tmp_path, "sweep", "s.yaml")
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "trial 0 failed: latency 0.001 is " in answer.stdout
    assert "run the sweep again" not in answer.stdout
    records = [read_record(tmp_path / "results" / "s" / f"0000{number}") for number in (0, 1)]
    assert [record and record.status for record in records] == ["failed", "finished"]
    assert command(tmp_path, "sweep", "s.yaml").returncode == 1  # no second try: it would end in the same way


@pytest.mark.parametrize(("share", "together"), [(0.5, True), pytest.param(1, False, marks=pytest.mark.slow)])
def test_two_trials_share_a_gpu_by_halves(
    share: float, together: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is told of one GPU that does not exist: placement is what is tested."""
    from ofb_ray.tuning.execute import execute
    from ofb_ray.tuning.prepare import prepare

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("ofb_ray.tuning.ray.resources._count_gpus", lambda: 1)
    model = {"args": {"patch_size": 4, "embed_dim": 64, "depth": 2, "num_heads": 4}}
    resources = {"gpus_per_worker": share, "cpus_per_worker": 0.5}
    tree = {"name": "s", "model": model, "budgets": [0.5], "seeds": [0, 1], "resources": resources}
    (tmp_path / "s.yaml").write_text(json.dumps(tree))
    launch = prepare(tmp_path / "s.yaml", storage=str(tmp_path), function="tests.tuning.fake:run_on_gpu")
    assert not execute(launch).interrupted
    seen = [json.loads((tmp_path / "s" / f"0000{number}" / "seen.json").read_text()) for number in (0, 1)]
    assert [trial["gpus"] for trial in seen] == ["0", "0"]
    overlap = min(trial["end"] for trial in seen) - max(trial["start"] for trial in seen)
    assert (overlap > 0) == together
