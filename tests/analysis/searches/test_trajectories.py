"""Trajectories place epochs, cuts and lambda."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from analysis.searches import trajectories
from analysis.searches.sentences import decisions
from tests.analysis.factory import record, searched


def test_events_of_one_rebuild_are_one_cut() -> None:
    found = trajectories.cuts(searched())
    assert [(cut.epoch, cut.axes, cut.units, cut.decided, cut.gap, cut.projected) for cut in found] == [
        (2, 1, 8, 0, 0.1, False),
        (3, 1, 128, 1, 0.02, False),
        (3, 2, 8 + 16, 2, 0.3, True),
    ]


@pytest.mark.parametrize(("epoch", "value"), [(0, 0.99), (1, 0.545), (2, 0.1), (4, 0.1)])
def test_lambda_falls_linearly_over_the_warm_up(epoch: int, value: float) -> None:
    assert trajectories.lam(searched(), epoch) == pytest.approx(value)


def test_phases_have_their_share_of_the_axis_and_count_their_own_epochs() -> None:
    phases = trajectories.Phases(searched())
    assert phases.epochs == {"dense": 2, "search": 4, "finetune": 1}
    assert [phases.x("dense", 2), phases.x("search", 2), phases.x("finetune", 1)] == [1.0, 2.5, 5.5]
    axes = Figure().add_subplot()
    trajectories.draw_cost(axes, searched())
    expected = next(line for line in axes.get_lines() if line.get_label() == "expected cost")
    assert expected.get_ydata() == pytest.approx([0.7, 0.6, 0.5, 0.4])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2", "1", "3", "4", "1"]


def test_facts_of_a_search_without_cuts() -> None:
    assert decisions(record(0), "Trial #0") == "Trial #0: no cut."
