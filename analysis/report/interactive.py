"""Make the interactive front by Bokeh: any pair of objectives, every trial to be pointed at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    DataRange1d,
    HoverTool,
    TapTool,
)
from bokeh.models.annotations.legends import Legend, LegendItem
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Select
from bokeh.plotting import figure

from analysis.fronts.front_data import front_data
from analysis.fronts.objectives import Objective, default_x, measured_latencies, objective
from analysis.report.facts import Facts
from analysis.report.interactive_bounds import draw_budgets, draw_noise
from analysis.report.interactive_fronts import draw_elsewhere
from analysis.report.interactive_marks import (
    SELECTED,
    X_AXES,
    Y_AXES,
    Marks,
    curve_columns,
    draw_curves,
    draw_dense,
    draw_means,
    draw_points,
    draw_preview,
    means_columns,
)
from analysis.trials.trial import Results

REPORTED = " (reported, takes no part in the selection)"
# Three digits and a unit: 1.26 G, 4.60 M, 250 K.
TICKS = """
const units = [[1e9, " G"], [1e6, " M"], [1e3, " K"]];
for (const [scale, unit] of units)
    if (Math.abs(tick) >= scale) return Number((tick / scale).toPrecision(3)) + unit;
return String(Number(tick.toPrecision(4)));
"""
SWITCH = """
const pair = y.value + "|" + x.value;
for (const source of sources) {
    const data = {...source.data};
    data.x = data[x.value];
    data.y = data[y.value];
    source.data = data;
}
lines.data = curves[pair];
means.data = averages[pair];
dense.data = {...dense.data, x: dense.data[x.value], y: dense.data[y.value]};
plot.below[0].axis_label = labels[x.value];
plot.left[0].axis_label = labels[y.value];
"""
TAPPED = """
const chosen = cb_data.source.selected.indices;
if (chosen.length && window.showTrial) window.showTrial(cb_data.source.data.row[chosen[0]]);
"""
TOOLTIPS = [
    ("trial", "@name (@status, seed @seed)"),
    ("budget", "@budget"),
    ("MACs, params", "@macs_text, @params_text"),
    ("top-1 val, test", "@val_text, @test_text"),
    ("embed / heads x channels / MLP", "@widths"),
    ("explored", "@explored"),
    ("again", "@rerun"),
]


def interactive(results: Results, facts: Sequence[Facts]) -> UIElement | None:
    """Make the figure with a choice of both axes; None where no trial has a subnet with a measured accuracy.

    Args:
        facts: of `results.trials`, in their order.
    """
    names = dict.fromkeys([default_x(results), *X_AXES, *measured_latencies(results)])
    x_axes, y_axes = _known(list(names), results), _known(Y_AXES, results)
    if not (x_axes and y_axes):
        return None
    plot = _empty_plot(x_axes[0], y_axes[0])
    pairs = {f"{y.name}|{x.name}": front_data(results, x, y) for y in y_axes for x in x_axes}
    curves = {pair: curve_columns(data) for pair, data in pairs.items()}
    averages = {pair: means_columns(data) for pair, data in pairs.items()}
    first = f"{y_axes[0].name}|{x_axes[0].name}"
    across, up = _choice("Across", x_axes), _choice("Up", y_axes)
    limits = [*draw_noise(plot, pairs, first, (across, up)), *draw_budgets(plot, pairs, across)]
    lines, means = ColumnDataSource(curves[first]), ColumnDataSource(averages[first])
    joined = draw_curves(plot, lines)
    sources, selected, small = draw_points(plot, results, facts, [*x_axes, *y_axes])
    averaged = draw_means(plot, means)
    dense, star = draw_dense(plot, results, [*x_axes, *y_axes])
    preview = draw_preview(plot, pairs, first, (across, up))
    elsewhere = draw_elsewhere(plot, pairs, first, (across, up))
    _add_legend(
        plot, [*_named(selected, small, averaged, joined), *elsewhere, *preview, ("dense network", [star]), *limits]
    )
    dots = [*small, *(renderers[0] for _, renderers in selected)]
    plot.add_tools(HoverTool(renderers=dots, tooltips=TOOLTIPS))
    plot.add_tools(TapTool(renderers=dots, callback=CustomJS(code=TAPPED)))
    labels = {each.name: _label(each) for each in (*x_axes, *y_axes)}
    args: dict[str, Any] = {"x": across, "y": up, "sources": sources, "lines": lines, "means": means}
    args |= {"averages": averages, "dense": dense, "curves": curves, "labels": labels, "plot": plot}
    switch = CustomJS(args=args, code=SWITCH)
    for choice in (across, up):
        choice.js_on_change("value", switch)
    return column(row(across, up, sizing_mode="stretch_width"), plot, sizing_mode="stretch_width")


def _empty_plot(x: Objective, y: Objective) -> Any:
    plot = figure(
        height=480,
        sizing_mode="stretch_width",
        tools="pan,wheel_zoom,box_zoom,reset,save",
        toolbar_location="above",
        output_backend="canvas",
        x_range=DataRange1d(start=0),
    )
    plot.toolbar.logo = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.xaxis.axis_label, plot.yaxis.axis_label = _label(x), _label(y)
    plot.xaxis.formatter = CustomJSTickFormatter(code=TICKS)
    return plot


def _named(selected: list[Marks], small: list[Any], averaged: list[Marks], joined: Any) -> list[Marks]:
    """Name marks and lines for the legend; names are short, two columns of them have a phone's width."""
    count = sum(len(mark.data_source.data["x"]) for mark in small)
    others = [(f"{'trials' if averaged else 'other trials'} ({count})", small)] if count else []
    if len(selected) > 1:
        return [*selected, (SELECTED, [joined]), *averaged, *others]
    (name, marks), *_ = averaged or selected
    return [(name, [*marks, joined]), *others]


def _add_legend(plot: Any, marks: Sequence[Marks]) -> None:
    legend = Legend(
        items=[LegendItem(label=label, renderers=list(renderers)) for label, renderers in marks],
        ncols=2,
        location="top_left",
        click_policy="hide",
        border_line_color=None,
        label_text_font_size="11px",
    )
    plot.add_layout(legend, "below")


def _known(names: Sequence[str], results: Results) -> list[Objective]:
    """List the objectives that some trial has a value of."""
    return [
        each
        for each in (objective(name, results) for name in names)
        if any(each.of(trial) is not None for trial in results.trials)
    ]


def _label(each: Objective) -> str:
    return each.label + (REPORTED if each.is_test else "")


def _choice(title: str, axes: Sequence[Objective]) -> Select:
    options: list[str | tuple[Any, str]] = [(each.name, each.label) for each in axes]
    return Select(title=title, value=axes[0].name, options=options, sizing_mode="stretch_width", min_width=120)
