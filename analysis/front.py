"""Which trials no other trial beats: the Pareto front of accuracy (up) over MACs (down)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(top1: ArrayLike, macs: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates.

    A point dominates another if it is at least as accurate and at most as expensive, and one of the two strictly.
    Duplicates do not dominate each other: all copies of a point on the front are on it. A point with a NaN was not
    measured: it is never on the front and dominates nothing. Infinities are ordinary values.

    Args:
        top1: accuracies, (N,).
        macs: costs, (N,).
    Returns:
        (N,) bool.
    """
    accuracy, cost = np.asarray(top1, dtype=float), np.asarray(macs, dtype=float)
    measured = ~(np.isnan(accuracy) | np.isnan(cost))
    on_front = np.zeros(accuracy.shape, dtype=bool)
    if not measured.any():
        return on_front
    # Costs in ascending order, the best accuracy at each, and the best accuracy at any lower cost.
    levels, level = np.unique(cost[measured], return_inverse=True)
    best = np.full(len(levels), -np.inf)
    np.maximum.at(best, level, accuracy[measured])
    cheaper = np.maximum.accumulate(best)[level - 1]
    on_front[measured] = (accuracy[measured] == best[level]) & ((accuracy[measured] > cheaper) | (level == 0))
    return on_front
