"""Where a trial stands among others by accuracy (up) and cost (down): what a gate decides by."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

# A subnet that comes within this share of its target meets its budget: below that, cost is chance, not merit.
MET = 0.99
Point = tuple[float, float]


@dataclass(frozen=True)
class Standing:
    """`rank`: 1 on the front, 2 on the front of what is left, ...; `place`: 1 for the best, the same for equals."""

    rank: int
    place: int
    of: int

    def outside(self, keep: float) -> bool:
        """Whether it is none of the best `keep` share, rounded up."""
        return self.place > math.ceil(keep * self.of - 1e-9)


def standing(own: Point, others: Sequence[Point]) -> Standing:
    """Where a trial stands among others of its budget: by non-dominated rank, within a rank by accuracy.

    Costs of subnets that meet the budget count as equal, or the cheapest by a hair would be on the first front whatever
    its accuracy. As trials promise to meet it, this is nearly always the order of their accuracies; equals share a
    place, so a tie stops nobody.

    Args:
        own: top-1 in percent, and cost over target.
        others: of the trials to compare with, in any order.
    """
    points = [(top1, min(used, MET)) for top1, used in (own, *others)]
    ranks = _ranks(points)
    keys = [(rank, -top1) for rank, (top1, _) in zip(ranks, points, strict=True)]
    return Standing(ranks[0], 1 + sum(key < keys[0] for key in keys), len(points))


def _ranks(points: Sequence[Point]) -> list[int]:
    """The front that each point is on: 1 for those that no other beats, and so on without them."""
    order = sorted(range(len(points)), key=lambda index: (points[index][1], -points[index][0]))
    ranks = [0] * len(points)
    # Of each front, minus the best accuracy at a cost that is no higher: ascending. A front with at least a point's own
    # accuracy beats the point.
    fronts: list[float] = []
    before: int | None = None
    for index in order:
        if before is not None and points[before] == points[index]:
            ranks[index] = ranks[before]
        else:
            beaten = bisect.bisect_right(fronts, -points[index][0])
            fronts[beaten : beaten + 1] = [-points[index][0]]
            ranks[index] = beaten + 1
        before = index
    return ranks
