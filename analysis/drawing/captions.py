"""Write names and accuracies at the points of the front's figure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes

from analysis.drawing.labels import place_labels
from analysis.drawing.marks import Unit
from analysis.fronts.front_data import FrontData, Mean, Point
from analysis.fronts.seeds import spread
from analysis.paper.baselines import Baseline

CROWD = 6  # above this number of labels they are the test top-1 alone


def write_captions(axes: Axes, data: FrontData, published: Sequence[Baseline], unit: Unit) -> None:
    """Write name and test top-1 of each selected trial or mean, and names of baselines, where they cover nothing."""
    chosen: list[Point] | list[Mean]
    if data.means:
        chosen = [mean for mean in data.means if mean.selected]
        labels = [(*unit(mean.x.mean, mean.y.mean), _mean_text(data, mean, len(chosen))) for mean in chosen]
    else:
        chosen = [point for point in data.shown if point.selected]
        labels = [(*unit(point.x, point.y), _point_text(data, point, len(chosen))) for point in chosen]
    labels += [(*unit(baseline.x, baseline.y), baseline.label) for baseline in published if baseline.label]
    dots = [unit(point.x, point.y) for point in data.shown]
    dots += [unit(mean.x.mean, mean.y.mean) for mean in data.means] + [
        unit(baseline.x, baseline.y) for baseline in published
    ]
    stars = [unit(x, y) for _, x, y in data.dense if x is not None and y is not None]
    steps = [unit(*each) for each in data.front]
    lines = [(x, y) for (left, y), (right, _) in pairwise(steps) for x in np.linspace(left, right, 24)]
    lines += [(x, y) for (_, low), (x, high) in pairwise(steps) for y in np.linspace(low, high, 24)]
    for left, right in (pair for line in data.preview for pair in pairwise(unit(*each) for each in line)):
        lines += zip(*(np.linspace(*ends, 12) for ends in zip(left, right, strict=True)), strict=True)
    lines += [(x, y) for _, y in stars[:1] for x in np.linspace(*axes.get_xlim(), 48)]
    for mean in data.means:
        (x, y), half = unit(mean.x.mean, mean.y.mean), (mean.y.interval or 0.0) / unit.y
        lines += [(x, each) for each in np.linspace(y - half, y + half, 24)]
        half = (mean.x.interval or 0.0) / unit.x
        lines += [(each, y) for each in np.linspace(x - half, x + half, 24)]
    place_labels(axes, labels, dots + stars, lines)


def _point_text(data: FrontData, point: Point, count: int) -> str:
    trial = point.trial
    name = f"{trial.sweep} #{trial.number}".strip()
    test = trial.record.subnet.top1_test if trial.record and trial.record.subnet else None
    if test is None or data.y.is_test:
        return f"#{trial.number}" if count > CROWD else name
    return f"{test:.1f}" if count > CROWD else f"{name}: test {test:.1f} %"


def _mean_text(data: FrontData, mean: Mean, count: int) -> str:
    column = data.y.name if data.y.is_test else "top1_test"
    subnets = [trial.record.subnet for trial in mean.setting.trials if trial.record]
    test = spread([getattr(subnet, column) for subnet in subnets])
    if test is None:
        return f"n = {mean.setting.n}"
    if count > CROWD:
        return f"{test.mean:.1f}"
    deviation = "" if test.deviation is None else f" ± {test.deviation:.1f}"
    number = f" (n = {test.n})" if len({mean.setting.n for mean in data.means}) > 1 else ""
    return f"test {test.mean:.1f}{deviation} %{number}"
