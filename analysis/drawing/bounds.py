"""Draw what limits a front: the budgets along the axis, what no subnet can reach, trials that are off the scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from textwrap import shorten

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox, blended_transform_factory

from analysis.drawing.fonts import drawable
from analysis.drawing.marks import RED, Unit, looks_of
from analysis.fronts.front_data import FrontData
from analysis.fronts.ticks import limit_on
from analysis.trials.trial import Trial

EDGE = 0.035  # height of the marks at the bottom edge, as a share of the axes
TICK = 0.018  # length of a budget's mark, the same
GAP = 4.0  # points between the labels of two budgets


def draw_budgets(axes: Axes, data: FrontData, unit: Unit) -> list[Text]:
    """Draw a short mark above the axes for each budget that limits x, and what no subnet can reach.

    Returns:
        The marks' labels in their order, for `part_labels` when the layout is known.
    """
    above = blended_transform_factory(axes.transData, axes.transAxes)
    ticks, what = data.ticks
    labels = []
    for tick in ticks:
        x, colour = tick.x / unit.x, "0.3" if tick.reached else RED
        axes.plot([x, x], [1, 1 + TICK], transform=above, color=colour, lw=1.2, clip_on=False, zorder=1)
        name = shorten(drawable(tick.label), 26, placeholder="...")
        labels.append(axes.text(x, 1.028, name, transform=above, ha="center", va="bottom", fontsize=11, color=colour))
    if ticks:
        label = f"budget ({what})" if what else "budget"
        axes.plot([], [], "|", ms=9, mew=1.2, color="0.3", label=label)
    if any(not tick.reached for tick in ticks):
        axes.plot([], [], "|", ms=9, mew=1.2, color=RED, label="budget without a network")
    if (minimum := data.minimum) is not None:
        left = axes.get_xlim()[0]
        axes.axvspan(left, minimum / unit.x, fc="0.97", ec="0.8", hatch="///", lw=0, zorder=0.5, label="not reachable")
    return labels


def part_labels(axes: Axes, labels: Sequence[Text]) -> None:
    """Set labels upright if they collide, and remove those that still do: their marks stay."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    room = GAP / 2 * figure.dpi / 72

    def box(label: Text) -> Bbox:
        return label.get_window_extent(renderer).padded(room, 0)

    if not any(one.overlaps(other) for one, other in pairwise(map(box, labels))):
        return
    kept: Bbox | None = None
    for label in labels:
        label.set_rotation(90)
        if kept is not None and kept.overlaps(box(label)):
            label.remove()
        else:
            kept = box(label)


def draw_edge_marks(axes: Axes, data: FrontData, unit: Unit) -> None:
    """Draw marks at the bottom edge for trials that are off the scale: collapsed, failed, stopped."""
    bottom = blended_transform_factory(axes.transData, axes.transAxes)
    if data.collapsed:
        low, high = min(point.y for point in data.collapsed), max(point.y for point in data.collapsed)
        values = f"{low:.0f} %" if high - low < 1 else f"{low:.0f}-{high:.0f} %"
        looks = looks_of(data)
        colours = [looks[data.groups[point.budget].experiment].colour for point in data.collapsed]
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


def _lost_position(axes: Axes, data: FrontData, trial: Trial, unit: Unit) -> float:
    """Return x of a trial without a subnet: its target, or the mean of others of its budget, or the middle."""
    group = next((group for group in data.groups if any(each.folder == trial.folder for each in group.trials)), None)
    if group is not None and (limit := limit_on(group, data.x.name)) is not None:
        return limit / unit.x
    folders = {each.folder for each in group.trials} if group else set()
    others = [point.x for point in data.shown + data.collapsed if point.trial.folder in folders]
    return fmean(others) / unit.x if others else fmean(axes.get_xlim())
