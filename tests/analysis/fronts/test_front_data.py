"""Points far below the others do not set the scale."""

from __future__ import annotations

from pathlib import Path

from analysis.fronts.front_data import front_data
from analysis.fronts.objectives import objective
from analysis.trials.read import read
from tests.analysis.factory import record, write


def test_the_trials_of_a_small_budget_are_on_the_scale_of_its_selected_one(tmp_path: Path) -> None:
    trials = [record(n, 0.5, 97.0 + n / 10) for n in range(4)] + [record(4, 0.1, 60.0), record(5, 0.1, 58.0)]
    trials.append(record(6, 0.1, 20.0))
    results = read([write(tmp_path, trials)])
    what = front_data(results, objective("macs", results), objective("top1_val", results))
    assert sorted(point.y for point in what.shown)[:2] == [58.0, 60.0]
    assert [point.y for point in what.collapsed] == [20.0]
