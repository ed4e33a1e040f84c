"""Two workers of a trial on this machine without Ray, each with a process of its own that decodes images."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.config import TrialSpec
from ofb_ray.errors import InputError, Interrupted
from ofb_ray.results.records import Record
from ofb_ray.trial.local_workers import local_team
from ofb_ray.trial.run import run_trial
from tests.data.making import make_folder
from tests.small import small_spec


def spec_of(root: Path) -> TrialSpec:
    data = {"name": "folder", "root": str(root), "image_size": 8, "train_limit": None, "decode": "stream", "workers": 1}
    phase = {"epochs": 1, "batch_size": 8}
    args = {"img_size": 8, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 4}
    model = {"name": "vit_tiny_patch16_224", "args": args}
    search = {**phase, "space": {"head_min": 0, "mlp_min": 0}}
    return small_spec(model=model, data=data, dense=phase, search=search, finetune=phase, budget=0.05)


def run(spec: TrialSpec, out: Path, report: Any = lambda progress: None) -> Record:
    with local_team(2, spec, out, "s"):
        return run_trial(spec, report, out, shared=out / "shared", sweep="s")


def test_a_trial_whose_worker_died_says_so_and_goes_on(tmp_path: Path) -> None:
    spec, seen = spec_of(make_folder(tmp_path / "set")), []

    def kill_in_the_search(progress: dict[str, Any]) -> None:
        seen.append(progress["phase"])
        if progress["phase"] == "search" and progress["epoch"]:
            worker = next(child for child in multiprocessing.active_children() if child.name.startswith("Spawn"))
            os.kill(worker.pid or 0, signal.SIGKILL)

    with pytest.raises(Interrupted, match=r"worker 1 died \(signal 9\); the same command"):
        run(spec, tmp_path / "out", kill_in_the_search)
    assert list(dict.fromkeys(seen)) == ["dense", "search"]
    again: list[str] = []
    record = run(spec, tmp_path / "out", lambda progress: again.append(progress["phase"]))
    assert record.status == "finished"
    assert record.environment["workers"] == 2
    assert record.arch is not None
    # Workers agree on tensors without elements, too.
    assert not all(size["heads"] * size["width"] for size in record.arch["widths"].values())
    assert again == ["finetune", "finetune", "done"]  # reading the data, one epoch
    assert not multiprocessing.active_children()


def test_bad_input_that_only_a_worker_meets_is_told_as_such(tmp_path: Path) -> None:
    """Each worker decodes its own half of the held-out images: the last of them are rank 1's."""
    spec = spec_of(make_folder(tmp_path / "set", train=20))
    spec = spec.model_copy(update={"dense": spec.dense.model_copy(update={"epochs": 0})})
    for path in sorted((tmp_path / "set" / "val" / "red").iterdir()):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="of 6 test images cannot be read, 0 may be"):
        run(spec, tmp_path / "out")
