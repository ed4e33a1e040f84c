"""Write names and accuracies at the points of the front's figure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes

from analysis.drawing.fonts import drawable
from analysis.drawing.labels import place_labels
from analysis.drawing.marks import Unit, bars_of
from analysis.fronts.front_data import FrontData, Mean, Point
from analysis.fronts.seeds import spread
from analysis.paper.baselines import Baseline

# Above these numbers of labels they are the test top-1 alone, and without its deviation.
FEW, CROWD = 3, 8


def write_captions(axes: Axes, data: FrontData, published: Sequence[Baseline], unit: Unit) -> None:
    """Write name and test top-1 of each selected trial or mean, and names of baselines, where they cover nothing."""
    means = [mean for mean in data.means if mean.selected]
    points = [] if data.means else [point for point in data.shown if point.selected]
    labels = [(*unit(mean.x.mean, mean.y.mean), _mean_text(data, mean, len(means))) for mean in means]
    labels += [(*unit(point.x, point.y), _point_text(data, point, len(points))) for point in points]
    labels += [(*unit(baseline.x, baseline.y), baseline.label) for baseline in published if baseline.label]
    dots = [unit(point.x, point.y) for point in data.shown]
    dots += [unit(mean.x.mean, mean.y.mean) for mean in data.means]
    dots += [unit(baseline.x, baseline.y) for baseline in published]
    dots += [unit(x, y) for _, x, y in data.dense if x is not None and y is not None]
    place_labels(axes, [(x, y, drawable(text)) for x, y, text in labels], dots, _lines(axes, data, unit))


def _lines(axes: Axes, data: FrontData, unit: Unit) -> list[tuple[float, float]]:
    """List points on every line that a label had better not cover."""
    lines: list[tuple[float, float]] = []
    for line in (*data.curves.values(), *data.preview):
        for left, right in pairwise(unit(*each) for each in line):
            lines += zip(*(np.linspace(*ends, 12) for ends in zip(left, right, strict=True)), strict=True)
    dense = [y / unit.y for _, x, y in data.dense if x is not None and y is not None]
    lines += [(x, y) for y in dense[:1] for x in np.linspace(*axes.get_xlim(), 48)]
    for mean in data.means:
        (x, y), (_, up) = unit(mean.x.mean, mean.y.mean), bars_of(axes, mean, unit)
        lines += [(x, each) for each in np.linspace(y - (up or 0.0), y + (up or 0.0), 24)]
    return lines


def _point_text(data: FrontData, point: Point, count: int) -> str:
    trial = point.trial
    name = f"{trial.sweep} #{trial.number}".strip() if count <= FEW else ""
    test = trial.record.subnet.top1_test if trial.record and trial.record.subnet else None
    if test is None or data.y.is_test:
        return _named(data, point.budget, name or f"#{trial.number}")
    return _named(data, point.budget, f"{name}: test {test:.1f} %" if name else f"{test:.1f}")


def _mean_text(data: FrontData, mean: Mean, count: int) -> str:
    column = data.y.name if data.y.is_test else "top1_test"
    subnets = [trial.record.subnet for trial in mean.setting.trials if trial.record]
    test = spread([getattr(subnet, column) for subnet in subnets])
    if test is None:
        return _named(data, mean.budget, f"n = {mean.setting.n}")
    deviation = "" if test.deviation is None or count > CROWD else f" ± {test.deviation:.1f}"
    number = f" (n = {test.n})" if len({mean.setting.n for mean in data.means}) > 1 and count <= CROWD else ""
    value = f"{test.mean:.1f}{deviation}"
    return _named(data, mean.budget, f"test {value} %{number}" if count <= FEW else f"{value}{number}")


def _named(data: FrontData, budget: int, text: str) -> str:
    """Put the budget's label before the text where no mark along the axis names it."""
    return text if data.ticks[0] else f"{data.groups[budget].outcome.label}: {text}"
