"""A table of published results stands in the report only where it says something about this data."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.report.build import report
from analysis.trials.read import read
from tests.analysis.factory import record, write

TITLE = "Transfer to other data sets"


@pytest.mark.parametrize(("data", "shown"), [("cifar10", True), ("folder", False)])
def test_transfer_results_stand_beside_trials_on_their_data_alone(tmp_path: Path, data: str, shown: bool) -> None:
    trial = record(0)
    spec = {**trial.spec, "model": {"name": "deit_small_patch16_224", "pretrained": True}, "data": {"name": data}}
    folder = write(tmp_path / "s", [trial.model_copy(update={"spec": spec})])
    assert read(folder).trials
    report([folder])
    assert (TITLE in (folder / "analysis" / "report.html").read_text()) == shown
