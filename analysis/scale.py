"""What a figure of the front shows and on which scale: points, outliers, limits, unit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from analysis.budgets import Budget, Dense, is_measured
from analysis.load import Results, Trial

LOG_SPAN = 30  # MACs that span more than this factor are drawn on a logarithmic axis


@dataclass(frozen=True)
class Point:
    """One finished trial: MACs, top-1 val in percent, index of its budget."""

    trial: Trial
    macs: float
    top1: float
    budget: int
    on_front: bool
    selected: bool


def points_of(results: Results, groups: list[Budget]) -> list[Point]:
    """The finished trials with a measured top-1 val."""
    index = {trial.folder: number for number, group in enumerate(groups) for trial in group.trials}
    best = {group.best.folder for group in groups if group.best}
    points = []
    for trial, on_front in zip(results.trials, results.on_front, strict=True):
        subnet = trial.record.subnet if trial.record and trial.status == "finished" else None
        if subnet is not None and subnet.top1_val is not None and is_measured(trial):
            chosen = trial.folder in best
            points.append(Point(trial, subnet.macs, subnet.top1_val, index[trial.folder], on_front, chosen))
    return points


def split_collapsed(points: list[Point]) -> tuple[list[Point], list[Point]]:
    """(points that set the scale, points far below the others, which would flatten it).

    Far below: under the median by more than 10 points and more than five median absolute deviations. The selected point
    of a budget is never left off the scale.
    """
    if len(points) < 3:
        return points, []
    values = [point.top1 for point in points]
    middle = median(values)
    floor = middle - max(10.0, 5 * median(abs(value - middle) for value in values))
    floor = min([floor, *(point.top1 for point in points if point.selected)])
    return [point for point in points if point.top1 >= floor], [point for point in points if point.top1 < floor]


def accuracy_limits(values: list[float], marks: bool) -> tuple[float, float]:
    """Limits of the accuracy axis, at least 1 point apart, with room below for marks at the bottom edge."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 100.0
    low, high = min(known), max(known)
    span = max(high - low, 1.0)
    middle = (low + high) / 2
    top = min(middle + span / 2 + 0.15 * span, max(100.0, high) + 0.04 * span)
    return min(middle - span / 2, top - span) - (0.25 if marks else 0.15) * span, top


def macs_limits(values: list[float]) -> tuple[float, float, bool]:
    """(left, right, logarithmic) for MACs: from zero, unless the values span a factor of more than `LOG_SPAN`."""
    known = [value for value in values if value > 0]
    if not known:
        return 0.0, 1.0, False
    if max(known) > LOG_SPAN * min(known):
        return min(known) / 1.4, max(known) * 1.3, True
    return 0.0, 1.06 * max(known), False


def unit_of(macs: list[float]) -> tuple[float, str]:
    """The unit in which the largest value is at least 0.5, and its name for an axis: (1e6, " (millions)")."""
    largest = max(macs, default=0.0)
    units = ((1e9, " (billions)"), (1e6, " (millions)"), (1e3, " (thousands)"))
    return next(((scale, name) for scale, name in units if largest >= scale / 2), (1.0, ""))


def targets_of(groups: list[Budget]) -> dict[int, list[str]]:
    """The labels of the budgets by their target in MACs, ascending."""
    found: dict[int, list[str]] = {}
    for group in groups:
        if group.outcome.resource == "macs":
            found.setdefault(group.outcome.target, []).append(group.label)
    return dict(sorted(found.items()))


def minimum_of(groups: list[Budget]) -> int | None:
    """MACs that no subnet can go below; None where no budget limits MACs."""
    return min((group.outcome.minimum for group in groups if group.outcome.resource == "macs"), default=None)


def all_macs(points: list[Point], groups: list[Budget], dense: list[Dense]) -> list[float]:
    """Every value that the MACs axis must show."""
    minimum = minimum_of(groups)
    values = [point.macs for point in points] + [size.macs for size in dense] + list(targets_of(groups))
    return values if minimum is None else [*values, minimum]
