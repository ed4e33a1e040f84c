"""Draw the marks of the front's figure, kind by kind, on axes whose limits are set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from textwrap import shorten

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory

from analysis.fronts.front_data import FrontData, Point
from analysis.fronts.seeds import CONFIDENCE
from analysis.paper.baselines import Baseline, classes, curves
from analysis.trials.trial import Trial

# Okabe and Ito's colours without yellow and black; the markers differ too, so that the figure reads in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "P", "h", "p", "d")
BASELINE_MARKERS = ("x", "+", "1", "2", "3", "4", "|")
RED = "#B00000"
EDGE = 0.035  # height of the marks at the bottom edge, as a share of the axes
TIGHT = 0.045  # labels above the axes that are closer than this share of them stand upright
PREVIEW = "preview (no training)"
MANY = 60  # above this number of trials the dots are smaller


class Unit:
    """What one unit of each axis is worth."""

    def __init__(self, x: float = 1.0, y: float = 1.0) -> None:
        self.x, self.y = x, y

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        return x / self.x, y / self.y


def draw_points(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Draw a dot a trial: hollow over its budget, large with a black edge where it is selected."""
    several = bool(data.means)
    many = len(data.shown) > MANY
    area = (18 if many else 26) if several else (20 if many else 46)
    for key, (label, colour, marker) in _looks(data).items():
        members = [point for point in data.shown if _group(data, point.budget) == key]
        big = [point for point in members if point.selected and not several]
        for part, face, line, scale, layer in (
            ([p for p in members if p.trial.met_budget and p not in big], colour, "white", 1.0, 4),
            ([p for p in members if not p.trial.met_budget], "none", colour, 1.0, 4),
            (big, colour, "black", 2.2, 5),
        ):
            axes.scatter(
                *_xy(part, unit),
                s=scale * area,
                c=face,
                marker=marker,
                alpha=1.0 if scale > 1 else 0.45 if several else 0.7,
                edgecolors=line,
                lw=0.3 if many else 0.9,
                zorder=layer,
            )
        axes.scatter(
            [],
            [],
            s=46,
            c=colour,
            marker=marker,
            edgecolors="white",
            label=f"{label} ({len(members)} trial{'s' * (len(members) != 1)})",
        )
    if not several and any(point.selected for point in data.shown):
        label = "selected" if data.y.is_test else "selected, with its test top-1"
        axes.scatter([], [], s=90, c="white", marker="o", edgecolors="black", label=label)
    if any(not point.trial.met_budget for point in data.shown):
        axes.scatter([], [], s=46, c="white", marker="o", edgecolors="0.4", label="over its budget")


def draw_means(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Draw large marks with bars: means over seeds and their intervals in both directions."""
    looks = _looks(data)
    for mean in data.means:
        _, colour, marker = looks[_group(data, mean.budget)]
        x, y = unit(mean.x.mean, mean.y.mean)
        bars = [(each.interval or 0.0) / size for each, size in ((mean.x, unit.x), (mean.y, unit.y))]
        axes.errorbar(x, y, yerr=bars[1], xerr=bars[0], fmt="none", ecolor="0.2", elinewidth=1, capsize=3, zorder=5.5)
        edge = "black" if mean.selected else "white"
        axes.scatter(x, y, s=100, c=colour, marker=marker, edgecolors=edge, lw=0.9, zorder=6)
    if data.means:
        counts = sorted({mean.setting.n for mean in data.means})
        seeds = "-".join(dict.fromkeys([str(counts[0]), str(counts[-1])]))
        chosen = any(mean.setting.chosen for mean in data.means)
        of = "\n(each one's selected trial)" if chosen else ""
        label = f"mean of {seeds} seeds{of},\n{100 * CONFIDENCE:g} % t interval"
        axes.errorbar([], [], yerr=[], fmt="o", ms=8, mfc="white", mec="black", ecolor="0.2", capsize=3, label=label)


def draw_front(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Draw the front as steps along what it attains, and its knee as a ring."""
    if len(data.front) > 1:  # a single point is no line
        x, y = zip(*(unit(*each) for each in data.front), strict=True)
        steps = "steps-post" if data.x.goal < 0 else "steps-pre"
        reported = " of the selected" if data.x.is_test or data.y.is_test else ""
        label = f"Pareto front{reported or (' of the means' if data.means else '')}"
        axes.plot(x, y, color="0.25", lw=1.5, drawstyle=steps, zorder=3, label=label)
    if data.knee is not None:
        axes.scatter(*unit(*data.knee), s=330, c="none", marker="o", edgecolors="black", lw=1.2, ls="--", zorder=7)
        axes.scatter(
            [], [], s=120, c="none", marker="o", edgecolors="black", lw=1.2, ls="--", label="knee of the front"
        )


def draw_preview(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Draw the subnets that were not trained as a thin grey line a results folder."""
    visible = any(y >= data.floor for line in data.preview for _, y in line)
    for number, line in enumerate(data.preview):
        x, y = zip(*(unit(*each) for each in line), strict=True)
        label = f"{PREVIEW}{'' if visible else ', off the scale'}" if number == 0 else ""
        axes.plot(x, y, color="0.6", lw=0.8, marker=".", ms=3, zorder=2.2, label=label)


def draw_dense(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Draw a star for each dense network that has both values, and a line at its accuracy where there is one."""
    known = [(size, x, y) for size, x, y in data.dense if y is not None]
    stars = [(size, x, y) for size, x, y in known if x is not None]
    percent = data.y.kind == "percent"
    for number, (size, x, y) in enumerate(stars):
        value = f" ({y:.1f} %{f', n = {size.count}' * (size.count > 1)})" if percent else ""
        text = f"dense network{value}" if len(stars) == 1 else "dense networks"
        label = text if number == 0 else ""
        axes.plot(*unit(x, y), "*", ms=15, color="black", mec="white", ls="none", zorder=6, label=label)
    if len(known) == 1:
        label = "" if stars else f"dense network ({known[0][2]:.1f} %)" if percent else "dense network"
        axes.axhline(known[0][2] / unit.y, color="black", lw=0.9, ls="--", zorder=1.5, label=label)


def draw_bounds(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Draw budget targets, labelled above the axes, and what no subnet can reach."""
    targets = [(x / unit.x, shorten(", ".join(names), 26, placeholder="...")) for x, names in data.targets.items()]
    positions = [axes.transAxes.inverted().transform(axes.transData.transform((x, 1)))[0] for x, _ in targets]
    # A character is about 1.3 % of the axes wide.
    crowded = any(np.diff(positions) < 0.013 * (max((len(label) for _, label in targets), default=0) + 2))
    above = blended_transform_factory(axes.transData, axes.transAxes)
    for number, (x, label) in enumerate(targets):
        axes.axvline(x, color="0.55", lw=0.8, zorder=1, label="" if number else "budget limit")
        text = axes.text(x, 1.012, label, transform=above, ha="left" if crowded else "center", fontsize=8, color="0.3")
        text.set_rotation(0 if not crowded else 40 if min(np.diff(positions)) > TIGHT else 90)
        text.set_rotation_mode("anchor")
    if (minimum := data.minimum) is not None:
        left = axes.get_xlim()[0]
        axes.axvspan(left, minimum / unit.x, fc="0.97", ec="0.8", hatch="///", lw=0, zorder=0.5, label="not reachable")
        axes.axvline(minimum / unit.x, color="0.4", lw=1, ls=":", zorder=1)


def draw_edge_marks(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Draw marks at the bottom edge for trials that are off the scale: collapsed, failed, stopped."""
    bottom = blended_transform_factory(axes.transData, axes.transAxes)
    if data.collapsed:
        low, high = min(point.y for point in data.collapsed), max(point.y for point in data.collapsed)
        values = f"{low:.0f} %" if high - low < 1 else f"{low:.0f}-{high:.0f} %"
        looks = _looks(data)
        colours = [looks[_group(data, point.budget)][1] for point in data.collapsed]
        x = [point.x / unit.x for point in data.collapsed]
        axes.scatter(x, [0.1] * len(x), s=30, c=colours, marker="v", transform=bottom, zorder=5)
        label = f"off the scale: {len(data.collapsed)} at {values}"
        axes.scatter([], [], s=30, c="0.4", marker="v", label=label)
    positions = Counter(_lost_position(axes, data, trial, unit) for trial in data.lost)
    for position, count in positions.items():
        axes.scatter(position, EDGE, s=40, c=RED, marker="x", transform=bottom, zorder=5)
        if count > 1:
            axes.text(position, EDGE, f"  × {count}", transform=bottom, va="center", fontsize=8, color=RED, zorder=5)
    if data.lost:
        states = Counter(trial.status for trial in data.lost)
        label = ", ".join(f"{count} {status}" for status, count in sorted(states.items()))
        axes.scatter([], [], s=40, c=RED, marker="x", label=label)


def draw_baselines(axes: Axes, published: Sequence[Baseline], unit: Unit) -> None:
    """Draw published results in grey, a marker a fairness class, a line a method; OFB's own larger and black."""
    for number, (start, label) in enumerate(classes(published).items()):
        marker = BASELINE_MARKERS[number % len(BASELINE_MARKERS)]
        grey = f"{0.35 + 0.3 * number / max(1, len(classes(published)) - 1):.2f}" if number else "0.35"
        some = [baseline for baseline in published if baseline.start == start and not baseline.is_ofb]
        axes.scatter(*_xy(some, unit), s=34, c=grey, marker=marker, lw=1.2, zorder=3.5)
        axes.scatter([], [], s=34, c=grey, marker=marker, lw=1.2, label=f"published: {label}")
    for curve in curves(published):
        axes.plot(*_xy(curve, unit), color="0.6", lw=0.7, zorder=2.5)
    own = sorted((baseline for baseline in published if baseline.is_ofb), key=lambda baseline: baseline.x)
    if own:
        x, y = _xy(own, unit)
        axes.plot(
            x, y, marker="*", ms=9, color="black", mfc="white", lw=0.8, ls=":", zorder=3.6, label="published: OFB"
        )


def _looks(data: FrontData) -> dict[str, tuple[str, str, str]]:
    """Choose the legend's label, colour and marker: of each experiment where there are several, else of each budget."""
    keys = list(dict.fromkeys(_group(data, number) for number in range(len(data.groups))))
    several = len({group.experiment for group in data.groups}) > 1
    looks = {}
    for number, key in enumerate(keys):
        label = shorten(key, 26, placeholder="...") if several else f"budget {shorten(key, 22, placeholder='...')}"
        looks[key] = (label, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)])
    return looks


def _group(data: FrontData, budget: int) -> str:
    several = len({group.experiment for group in data.groups}) > 1
    return data.groups[budget].experiment if several else data.groups[budget].label


def _xy(some: Sequence[Point] | Sequence[Baseline], unit: Unit) -> tuple[list[float], list[float]]:
    return [each.x / unit.x for each in some], [each.y / unit.y for each in some]


def _lost_position(axes: Axes, data: FrontData, trial: Trial, unit: Unit) -> float:
    """Return x of a trial without a subnet: its target, or the mean of others of its budget, or the middle."""
    group = next((group for group in data.groups if any(each.folder == trial.folder for each in group.trials)), None)
    if group is not None and group.outcome.resource == data.x.name and group.outcome.target:
        return group.outcome.target / unit.x
    folders = {each.folder for each in group.trials} if group else set()
    others = [point.x for point in data.shown + data.collapsed if point.trial.folder in folders]
    return fmean(others) / unit.x if others else fmean(axes.get_xlim())
