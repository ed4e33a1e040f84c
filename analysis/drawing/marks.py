"""Draw the marks of the front's figure, kind by kind, on axes whose limits are set."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from analysis.drawing.fonts import drawable
from analysis.fronts.front_data import FrontData, Mean, Point
from analysis.fronts.seeds import CONFIDENCE
from analysis.paper.baselines import Baseline, classes, curves

# Okabe and Ito's colours without yellow and black; markers and lines differ too, so that the figure reads in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "P", "h", "p", "d")
LINES = ("-", "--", "-.", ":")
BASELINE_MARKERS = ("x", "+", "1", "2", "3", "4", "|")
RED = "#B00000"
PREVIEW = "preview (no training)"
MANY = 60  # above this number of trials the dots are smaller
FAINT: Any = {"alpha": 0.45, "lw": 0}  # of a trial that was not selected
LEAST_BAR = 0.006  # share of the axes below which a bar across would be the mark's own width


class Look(NamedTuple):
    """How the networks of an experiment are drawn, and its name in the legend."""

    label: str
    colour: str
    marker: str
    line: str


class Unit:
    """What one unit of each axis is worth."""

    def __init__(self, x: float = 1.0, y: float = 1.0) -> None:
        self.x, self.y = x, y

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        return x / self.x, y / self.y


def draw_points(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Draw a small faint dot a trial, hollow over its budget; selected ones are large with a black edge."""
    area = 9 if len(data.shown) > MANY else 20
    looks = looks_of(data)
    several = bool(data.means)
    for experiment, look in looks.items():
        members = [point for point in data.shown if data.groups[point.budget].experiment == experiment]
        big = [point for point in members if point.selected and not several]
        small = [point for point in members if point not in big]
        over = [point for point in small if not point.trial.met_budget]
        met = [point for point in small if point.trial.met_budget]
        axes.scatter(*_xy(met, unit), s=area, c=look.colour, marker=look.marker, zorder=3, **FAINT)
        axes.scatter(*_xy(over, unit), s=area, c="none", marker=look.marker, edgecolors="0.5", lw=0.8, zorder=3)
        axes.scatter(*_xy(big, unit), s=90, c=look.colour, marker=look.marker, edgecolors="black", lw=1, zorder=6)
    small = [point for point in data.shown if several or not point.selected]
    if small:
        colour, marker = ("0.4", "o") if len(looks) > 1 else (looks[data.groups[0].experiment].colour, "o")
        name = "a seed's trial" if several else "other trials"
        axes.scatter([], [], s=20, c=colour, marker=marker, label=f"{name} ({len(small)})", **FAINT)
    if any(not point.trial.met_budget for point in data.shown):
        axes.scatter([], [], s=20, c="white", marker="o", edgecolors="0.5", lw=0.8, label="over its budget")


def draw_means(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Draw means over seeds with bars, their intervals; those that were not selected smaller and fainter."""
    looks = looks_of(data)
    for mean in data.means:
        look = looks[data.groups[mean.budget].experiment]
        x, y = unit(mean.x.mean, mean.y.mean)
        across, up = bars_of(axes, mean, unit)
        strength, edge, area, layer = (1.0, "black", 90, 6) if mean.selected else (0.5, "white", 40, 3.4)
        bars: Any = {"ecolor": "0.2", "elinewidth": 1.2, "capsize": 4, "alpha": strength, "zorder": layer - 0.2}
        axes.errorbar(x, y, yerr=up, xerr=across, fmt="none", **bars)
        axes.scatter(
            x, y, s=area, c=look.colour, marker=look.marker, edgecolors=edge, lw=1, alpha=strength, zorder=layer
        )
    if len(looks) > 1 and data.means:
        axes.plot([], [], "o", ms=9, mfc="white", mec="black", label=_means_label(data))


def _means_label(data: FrontData) -> str:
    counts = sorted({mean.setting.n for mean in data.means})
    seeds = "-".join(dict.fromkeys([str(counts[0]), str(counts[-1])]))
    of = "\n(of each the selected trial)" if any(mean.setting.chosen for mean in data.means) else ""
    number = "" if data.y.is_test else ",\nnumber: test ± deviation"
    return f"mean of {seeds} seeds{of},\nbar: {100 * CONFIDENCE:g} % t interval{number}"


def bars_of(axes: Axes, mean: Mean, unit: Unit) -> tuple[float | None, float | None]:
    """Return half the lengths of a mean's bars across and up; None where there is none or none could be seen."""
    across, up = (mean.x.interval or 0.0) / unit.x, (mean.y.interval or 0.0) / unit.y
    low, high = axes.get_xlim()
    return across if across > LEAST_BAR * (high - low) else None, up or None


def draw_curves(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Join the selected networks of the budgets by a line an experiment, and draw the knee of the front as a ring."""
    looks = looks_of(data)
    subnets = [point.trial.record.subnet for point in data.shown if point.trial.record]
    tested = any(subnet and subnet.top1_test is not None for subnet in subnets)
    beside = ",\nwith its test top-1" if tested and not data.y.is_test else ""
    joined = _means_label(data) if data.means else f"selected of each budget{beside}"
    for (experiment, _), points in data.curves.items():
        x, y = zip(*(unit(*each) for each in points), strict=True)
        look = looks[experiment]
        axes.plot(x, y, color=look.colour, lw=2.2, ls=look.line, zorder=5)
    for experiment, look in looks.items():
        size = sum(data.groups[point.budget].experiment == experiment for point in data.shown)
        if size:
            label = joined if len(looks) == 1 else f"{look.label} ({size} trial{'s' * (size != 1)})"
            line: Any = {"color": look.colour, "ls": look.line if data.curves else "none", "lw": 2.2}
            axes.plot([], [], marker=look.marker, ms=9, mec="black", label=label, **line)
    if data.knee is not None and any(data.knee in points for points in data.curves.values()):
        ring: Any = {"c": "none", "marker": "o", "edgecolors": "black", "lw": 1.2, "ls": "--"}
        axes.scatter(*unit(*data.knee), s=330, zorder=7, **ring)
        axes.scatter([], [], s=120, label="knee of the front", **ring)


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
    if data.noise is not None:
        low, high, images = data.noise
        label = f"no measurable difference\n(95 %, {images} images)"
        axes.axhspan(low / unit.y, high / unit.y, fc="0.93", lw=0, zorder=0.3, label=label)


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


def looks_of(data: FrontData) -> dict[str, Look]:
    """Choose the look of each experiment, by its name; one experiment's name may be empty."""
    names = list(dict.fromkeys(group.experiment for group in data.groups))
    return {
        name: Look(
            shorten(drawable(name), 26, placeholder="..."),
            COLOURS[number % len(COLOURS)],
            MARKERS[number % len(MARKERS)],
            LINES[number % len(LINES)],
        )
        for number, name in enumerate(names)
    }


def _xy(some: Sequence[Point] | Sequence[Baseline], unit: Unit) -> tuple[list[float], list[float]]:
    return [each.x / unit.x for each in some], [each.y / unit.y for each in some]
