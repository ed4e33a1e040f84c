"""An interval by the number of images alone is that of the difference of two binomial shares."""

from __future__ import annotations

import pytest

from analysis.fronts.change import binomial, unsure


@pytest.mark.parametrize("accuracy", [50.0, 90.0, 98.6])
def test_the_ends_of_what_cannot_be_told_apart_are_a_half_interval_away(accuracy: float) -> None:
    low, high = unsure(accuracy, 216)
    assert accuracy - low == pytest.approx(binomial([accuracy, low], 216), abs=1e-3)
    assert high == 100.0 or high - accuracy == pytest.approx(binomial([accuracy, high], 216), abs=1e-3)
    assert 0 < low < accuracy < high <= 100


def test_a_perfect_score_is_not_a_certain_one() -> None:
    assert binomial([100.0, 100.0], 216) > 1
    assert binomial([98.0, 98.0], 10_000) < binomial([98.0, 98.0], 100)
