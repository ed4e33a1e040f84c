"""Draw how the hypervolume grew, over trials and over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.drawing.fonts import drawable
from analysis.drawing.marks import COLOURS
from analysis.fronts.hypervolume import Growth, growth, reference_of
from analysis.fronts.objectives import Objective
from analysis.trials.trial import Results

LINES = ("-", "--", "-.", ":")
NUMBERED = "Trials are in the order of their numbers: not every record says when it was finished."


def growth_figure(results: Results, x: Objective, y: Objective) -> Figure | None:
    """Draw the hypervolume over trials and, where the times are known, over hours; None where nothing is finished."""
    curves, reference = growth(results, x, y), reference_of(results, x, y)
    if not curves or reference is None:
        return None
    timed = all(each.hours is not None for each in curves)
    figure = Figure(figsize=(8.0 if timed else 4.6, 3.0), dpi=200, layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2 if timed else 1, sharey=True, squeeze=False)[0])
    draw_over_trials(curves, panels[0])
    panels[0].set_ylabel("hypervolume (share)")
    if timed:
        draw_over_time(curves, panels[1])
    if len(curves) > 1:
        panels[-1].legend(frameon=False, fontsize=8, loc="lower right")
    note = f"1 = the whole area up to the reference point: {reference.text}."
    figure.supxlabel(note if timed else f"{note}\n{NUMBERED}", x=0.012, ha="left", fontsize=6.5, color="0.3")
    return figure


def draw_over_trials(curves: Sequence[Growth], axes: Axes) -> None:
    """Draw a line a results folder: hypervolume over the number of finished trials."""
    for number, each in enumerate(curves):
        axes.step(range(1, len(each.volumes) + 1), each.volumes, where="post", **_look(number, each))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("finished trials")


def draw_over_time(curves: Sequence[Growth], axes: Axes) -> None:
    """Draw a line a results folder: hypervolume over hours since its first trial began."""
    longest = max((each.hours[-1] for each in curves if each.hours), default=1.0)
    minutes = longest < 2
    for number, each in enumerate(curves):
        if each.hours:
            hours = [hour * (60 if minutes else 1) for hour in each.hours]
            axes.step(hours, each.volumes, where="post", **_look(number, each))
    axes.set_xlabel(f"{'minutes' if minutes else 'hours'} since the first trial began")


def _look(number: int, each: Growth) -> dict[str, Any]:
    mark = "." if len(each.volumes) <= 60 else ""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "ls": LINES[number % len(LINES)],
        "marker": mark,
        "lw": 1.3,
        "label": drawable(each.name),
    }
