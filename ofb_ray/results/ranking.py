"""Rank a trial among others by accuracy (up) and cost (down), and value a whole front (by moocore)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import moocore  # type: ignore[import-untyped]
import numpy as np

# A subnet that comes within this share of its target meets its budget: below that, cost is chance, not merit.
MET = 0.99
Point = tuple[float, float]  # accuracy, cost


@dataclass(frozen=True)
class Ranking:
    """How a trial ranks among the trials compared.

    Args:
        rank: 1 on the front, 2 on the front of what is left, ...
        position: 1 for the best, the same for equals.
        of: number of trials compared, this one included.
    """

    rank: int
    position: int
    of: int

    def outside(self, keep: float) -> bool:
        """Whether it is none of the best `keep` share, rounded up."""
        return self.position > math.ceil(keep * self.of - 1e-9)


def hypervolume(points: Sequence[Point], reference: Point, goals: tuple[int, int] = (1, -1)) -> float:
    """Compute the area that points dominate, up to the reference point; points that are not finite do not count.

    Args:
        points: (y, x) of each.
        reference: (y, x); what lies beyond adds nothing.
        goals: of y and x: 1 where more is better, -1 where less is.
    """
    finite = np.reshape([point for point in points if all(map(math.isfinite, point))], (-1, 2))
    return float(moocore.hypervolume(finite, ref=reference, maximise=[goal > 0 for goal in goals]))


def rank_among(own: Point, others: Sequence[Point]) -> Ranking:
    """Rank a trial among others of its budget: by non-dominated rank, within a rank by accuracy.

    Costs of subnets that meet the budget count as equal, or the cheapest by a hair would be on the first front whatever
    its accuracy. As trials promise to meet it, this is nearly always the order of their accuracies; equals share a
    position, so a tie stops nobody.

    Args:
        own: top-1 in percent and cost over target, of the trial.
        others: of the trials to compare with, in any order.
    """
    points = [(top1, min(used, MET)) for top1, used in (own, *others)]
    ranks = (moocore.pareto_rank(np.array(points), maximise=[True, False]) + 1).tolist()
    keys = [(rank, -top1) for rank, (top1, _) in zip(ranks, points, strict=True)]
    return Ranking(ranks[0], 1 + sum(key < keys[0] for key in keys), len(points))
