"""Draw the front as a figure that goes into a paper as it is: by default held-out accuracy over MACs.

`front` draws on an Axes of your own; `front_figure` makes a figure of it, `front_files` the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from analysis.drawing import bounds, captions, marks
from analysis.drawing.scale import axis_limits, unit_of
from analysis.drawing.style import DPI, STYLE, figure_files, write_title
from analysis.fronts.front_data import FrontData, front_data
from analysis.fronts.objectives import Objective, objective
from analysis.paper.baselines import Baseline, footnote
from analysis.trials.trial import Results

CENTRED: Any = {"ha": "center", "va": "center", "zorder": 9, "bbox": {"fc": "white", "ec": "none"}}
SIZE, WIDE = (8.0, 5.6), (10.0, 6.2)
TITLE, NAMES, NUMBERS = 14, 12, 11  # sizes of letters in points, to be read on a slide
LEGEND: Any = {"loc": "upper left", "borderaxespad": 0, "frameon": False}
REPORTED = "reported only: selection is by held-out top-1"


def front_files(
    results: Results, x: str = "macs", y: str = "top1_val", baselines: Sequence[Baseline] = (), name: str = "front"
) -> dict[str, bytes]:
    """Render the figure as the files `name`.png, .pdf and .svg. Equal results give equal bytes."""
    with mpl.rc_context(STYLE):
        return figure_files(front_figure(results, x, y, baselines), name)


def front_figure(results: Results, x: str = "macs", y: str = "top1_val", baselines: Sequence[Baseline] = ()) -> Figure:
    """Make the figure: works with no finished trial, with one, and with thousands."""
    figure = Figure(figsize=WIDE if baselines else SIZE, dpi=DPI, layout="constrained")
    write_title(figure, results.question or results.name, TITLE)
    if baselines:
        note = fill(footnote(baselines), 190)
        figure.supxlabel(note, x=0.012, ha="left", fontsize=6.5, color="0.3")
    front(results, figure.add_subplot(), x, y, baselines)
    return figure


def front(
    results: Results, axes: Axes, x: str = "macs", y: str = "top1_val", baselines: Sequence[Baseline] = ()
) -> FrontData:
    """Draw the front of `y` over `x` on the axes, legend below them, and say what was drawn.

    A line joins the selected networks of the budgets; other trials are faint dots, over-budget ones hollow, failed and
    collapsed ones marks at the lower edge. With several seeds the line joins means (`analysis.fronts.seeds`), with 95 %
    t intervals. Budgets are marks above the axes. A preview in the results folder is a thin line.

    Args:
        x: name of an objective (`analysis.fronts.objectives.NAMES`).
        y: the same.
        baselines: published results to show beside, in the units of `x` and `y`.

    Raises:
        InputError: there is no such objective.
    """
    data = front_data(results, objective(x, results, "x"), objective(y, results, "y"))
    unit = _set_axes(axes, data, baselines)
    if not (data.shown or data.collapsed):
        axes.text(0.5, 0.5, _nothing(data), transform=axes.transAxes, fontsize=14, color="0.35", **CENTRED)
    marks.draw_curves(axes, data, unit)
    marks.draw_means(axes, data, unit)
    marks.draw_points(axes, data, unit)
    marks.draw_dense(axes, data, unit)
    marks.draw_preview(axes, data, unit)
    labels = bounds.draw_budgets(axes, data, unit)
    bounds.draw_edge_marks(axes, data, unit)
    marks.draw_baselines(axes, baselines, unit)
    axes.tick_params(labelsize=NUMBERS)
    axes.xaxis.label.set_fontsize(NAMES)
    axes.yaxis.label.set_fontsize(NAMES)
    if axes.get_legend_handles_labels()[0]:
        _legend(axes, bool(baselines))
    bounds.part_labels(axes, labels)
    captions.write_captions(axes, data, baselines, unit)
    return data


def _set_axes(axes: Axes, data: FrontData, baselines: Sequence[Baseline]) -> marks.Unit:
    """Set limits, scales and labels of both axes; return the units in which they are drawn."""
    values = (
        data.all_x() + [baseline.x for baseline in baselines],
        data.all_y() + [baseline.y for baseline in baselines],
    )
    units, names = zip(
        *(unit_of(some, each.kind) for some, each in zip(values, (data.x, data.y), strict=True)), strict=True
    )
    for axis, some, each, unit, name in zip("xy", values, (data.x, data.y), units, names, strict=True):
        room = axis == "y" and bool(data.lost or data.collapsed)
        low, high, log = axis_limits([value / unit for value in some], each.kind, room)
        axes.set(**{f"{axis}scale": "log" if log else "linear", f"{axis}lim": (low, high)})
        axes.set(**{f"{axis}label": _label(each, name)})
        if log:
            ticks = axes.xaxis if axis == "x" else axes.yaxis
            ticks.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
            ticks.set_major_formatter("{x:g}")
            ticks.set_minor_formatter(NullFormatter())
    return marks.Unit(*units)


def _legend(axes: Axes, beside: bool) -> None:
    """Put the legend below the axes, so that these are wide; beside them where it is as long as published results."""
    if beside:
        axes.legend(bbox_to_anchor=(1.01, 1), fontsize=8, **LEGEND)
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    lines = 1 + axes.get_xlabel().count("\n")
    down = ScaledTranslation(-30 / 72, -(24 + 15 * lines) / 72, figure.dpi_scale_trans)
    tight: Any = {"ncols": 3, "fontsize": 10, "columnspacing": 1.2, "handlelength": 1.8, "handletextpad": 0.6}
    axes.legend(bbox_to_anchor=(0, 0), bbox_transform=axes.transAxes + down, **tight, **LEGEND)


def _label(each: Objective, unit: str) -> str:
    return f"{each.label}{unit}" + (f"\n{REPORTED}" if each.is_test else "")


def _nothing(data: FrontData) -> str:
    if not data.unmeasured:
        return "No finished trial"
    missing = next((each for each in (data.x, data.y) if each.remedy), None)
    name = (missing or data.x).name
    return f"No finished trial has a value of {name}" + (f"\n{missing.remedy}" if missing else "")
