"""The front is what brute force finds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.front import non_dominated


def brute_force(top1: list[float], macs: list[float]) -> list[bool]:
    """The definition: measured, and no other point is at least as good in both and better in one."""

    def dominated(i: int) -> bool:
        return any(
            top1[j] >= top1[i] and macs[j] <= macs[i] and (top1[j] > top1[i] or macs[j] < macs[i])
            for j in range(len(top1))
        )

    return [
        not (math.isnan(a) or math.isnan(m)) and not dominated(i)
        for i, (a, m) in enumerate(zip(top1, macs, strict=True))
    ]


@pytest.mark.parametrize("block", range(10))
def test_equals_brute_force_with_ties_duplicates_nan_and_infinity(block: int) -> None:
    rng = np.random.default_rng(block)
    special = [math.nan, math.inf, -math.inf]
    for _ in range(100):
        size = int(rng.integers(0, 25))
        # Few levels make ties and duplicates common.
        values = rng.integers(0, rng.integers(2, 12), (2, size)).astype(float)
        values[rng.random((2, size)) < 0.1] = rng.choice(special)
        values[rng.random((2, size)) < 0.05] = rng.choice(special)
        top1, macs = values.tolist()
        assert non_dominated(top1, macs).tolist() == brute_force(top1, macs)


def test_all_copies_of_a_best_point_are_on_the_front() -> None:
    assert non_dominated([97, 97, 98, 96], [1, 1, 2, 1]).tolist() == [True, True, True, False]


def test_a_point_that_was_not_measured_is_off_and_dominates_nothing() -> None:
    assert non_dominated([math.nan, 90, 99], [1, 2, math.nan]).tolist() == [False, True, False]
