"""Find which trials no other trial dominates: the Pareto front of two objectives, and its knee."""

from __future__ import annotations

import moocore  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(top1: ArrayLike, macs: ArrayLike) -> NDArray[np.bool_]:
    """Tell which points no other point dominates, with the first objective up and the second down.

    A point dominates another if it is at least as accurate and at most as expensive, and one of the two strictly.
    Duplicates do not dominate each other: all copies of a point on the front are on it. A point with a NaN was not
    measured: it is never on the front and dominates nothing. Infinities are ordinary values.

    Args:
        top1: accuracies, (N,).
        macs: costs, (N,).
    Returns:
        (N,) bool.
    """
    points = np.column_stack([np.asarray(top1, dtype=float), np.asarray(macs, dtype=float)])
    measured = ~np.isnan(points).any(axis=1)
    on_front = np.zeros(len(points), dtype=bool)
    if measured.any():
        on_front[measured] = moocore.is_nondominated(points[measured], maximise=[True, False], keep_weakly=True)
    return on_front


def front_of(y: ArrayLike, x: ArrayLike, goals: tuple[int, int] = (1, -1)) -> NDArray[np.bool_]:
    """Tell the same as `non_dominated` for any pair of objectives.

    Args:
        y, x: values, (N,).
        goals: of y and of x: 1 where more is better, -1 where less is.
    Returns:
        (N,) bool.
    """
    up, down = goals
    return non_dominated(up * np.asarray(y, dtype=float), -down * np.asarray(x, dtype=float))


def knee(y: ArrayLike, x: ArrayLike, goals: tuple[int, int] = (1, -1)) -> tuple[float, float] | None:
    """Find the point (x, y) of a front where giving more of one objective begins to buy less of the other.

    Both objectives are normalised to [0, 1] over the front; the knee is the point farthest from the chord between the
    front's two ends, on the good side of it. None where fewer than three different points are finite or none lies
    beyond the chord.

    Args:
        y, x: values of the points on one front, (N,), in any order.
        goals: as in `front_of`.
    """
    points = np.unique(np.column_stack([np.asarray(x, dtype=float), np.asarray(y, dtype=float)]), axis=0)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 3:
        return None
    gain = points * (goals[1], goals[0])
    span = gain.max(axis=0) - gain.min(axis=0)
    # Beyond the chord, the two gains sum to more than 1: at its ends they sum to exactly 1.
    beyond = ((gain - gain.min(axis=0)) / np.where(span > 0, span, 1)).sum(axis=1) - 1
    best = int(beyond.argmax())
    return (float(points[best, 0]), float(points[best, 1])) if beyond[best] > 1e-9 else None
