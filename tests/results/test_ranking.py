"""A trial is ranked by the front that it is on, then by its accuracy."""

from __future__ import annotations

import random

import pytest

from ofb_ray.results.ranking import MET, Point, rank_among


def dominates(one: Point, other: Point) -> bool:
    """At least as accurate and as cheap, and better in one of the two."""
    return one != other and one[0] >= other[0] and one[1] <= other[1]


@pytest.mark.parametrize("seed", range(20))
def test_ranks_are_those_of_peeling_one_front_after_the_other(seed: int) -> None:
    rng = random.Random(seed)
    points = [(float(rng.randint(0, 6)), rng.randint(1, 6) / 10) for _ in range(25)]
    left, rank = list(range(len(points))), 0
    ranks: dict[int, int] = {}
    while left:
        rank += 1
        front = [index for index in left if not any(dominates(points[other], points[index]) for other in left)]
        ranks |= dict.fromkeys(front, rank)
        left = [index for index in left if index not in ranks]
    for index, own in enumerate(points):
        found = rank_among(own, points[:index] + points[index + 1 :])
        assert found.rank == ranks[index]
        better = [(ranks[i], -points[i][0]) < (ranks[index], -own[0]) for i in range(len(points))]
        assert (found.position, found.of) == (1 + sum(better), len(points))


def test_a_hair_less_cost_is_no_merit() -> None:
    assert rank_among((50.0, MET), [(90.0, 1.0), (91.0, 0.995)]).position == 3
