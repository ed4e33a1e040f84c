"""The front is what brute force finds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.trials.dominance import front_of, knee, non_dominated


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


def cloud(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Up to 24 points; few levels make ties and duplicates common."""
    special = [math.nan, math.inf, -math.inf]
    size = int(rng.integers(0, 25))
    values = rng.integers(0, rng.integers(2, 12), (2, size)).astype(float)
    values[rng.random((2, size)) < 0.1] = rng.choice(special)
    values[rng.random((2, size)) < 0.05] = rng.choice(special)
    first, second = values.tolist()
    return first, second


@pytest.mark.parametrize("block", range(10))
def test_equals_brute_force_with_ties_duplicates_nan_and_infinity(block: int) -> None:
    rng = np.random.default_rng(block)
    for _ in range(100):
        top1, macs = cloud(rng)
        assert non_dominated(top1, macs).tolist() == brute_force(top1, macs)


@pytest.mark.parametrize("goals", [(1, -1), (1, 1), (-1, -1), (-1, 1)])
def test_equals_brute_force_whichever_way_the_objectives_go(goals: tuple[int, int]) -> None:
    rng = np.random.default_rng(17)
    for _ in range(250):
        y, x = cloud(rng)
        expected = brute_force([goals[0] * value for value in y], [-goals[1] * value for value in x])
        assert front_of(y, x, goals).tolist() == expected


def test_all_copies_of_a_best_point_are_on_the_front() -> None:
    assert non_dominated([97, 97, 98, 96], [1, 1, 2, 1]).tolist() == [True, True, True, False]


def test_a_point_that_was_not_measured_is_off_and_dominates_nothing() -> None:
    assert non_dominated([math.nan, 90, 99], [1, 2, math.nan]).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        # (x, y), normalised: (0, 0), (0.25, 0.75), (1, 1); the second lies 0.75 - 0.25 = 0.5 beyond the chord.
        ([(1, 90), (2, 96), (5, 98)], (2, 96)),
        # (0.25, 0.5) is 0.25 beyond, (0.5, 0.875) is 0.375 beyond.
        ([(1, 90), (2, 94), (3, 97), (5, 98)], (3, 97)),
        ([(1, 90), (3, 94), (5, 98)], None),  # all on the chord
        ([(1, 90), (4, 92), (5, 98)], None),  # hollow: below the chord
        ([(1, 90), (5, 98)], None),
        ([(1, 90), (1, 90), (5, 98)], None),  # two different points
        ([(1, 90), (2, 96), (5, 98), (math.inf, 99), (math.nan, 97)], (2, 96)),
        ([], None),
    ],
)
def test_the_knee_is_farthest_beyond_the_chord(
    points: list[tuple[float, float]], expected: tuple[float, float] | None
) -> None:
    for some in (points, points[::-1]):
        assert knee([y for _, y in some], [x for x, _ in some]) == expected


def test_the_knee_of_costs_and_of_gains_is_the_same_point_mirrored() -> None:
    points = [(1.0, 90.0), (2.0, 96.0), (5.0, 98.0)]
    for goals, mirror in (((1, 1), (-1, 1)), ((-1, -1), (1, -1)), ((-1, 1), (-1, -1))):
        x, y = [mirror[0] * x for x, _ in points], [mirror[1] * y for _, y in points]
        assert knee(y, x, goals) == (mirror[0] * 2.0, mirror[1] * 96.0)
