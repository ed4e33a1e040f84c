"""The interactive front: any pair of objectives, every trial to be pointed at, by Bokeh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    HoverTool,
    TapTool,
)
from bokeh.models.annotations.legends import Legend, LegendItem
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Select
from bokeh.plotting import figure
from numpy.typing import NDArray

from analysis.drawing.marks import COLOURS
from analysis.fronts.budgets import Budget, budgets
from analysis.fronts.objectives import Objective, objective
from analysis.fronts.scale import FrontData, front_data
from analysis.load import Results, Trial
from analysis.report.facts import Facts

MARKERS = ("circle", "square", "triangle", "diamond", "plus", "hex", "star", "inverted_triangle")
X_AXES = ("macs", "params", "latency", "search_cost")
Y_AXES = ("top1_val", "top5_val", "top1_test", "top5_test")
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
front.data = fronts[pair];
means.data = averages[pair];
dense.data = {...dense.data, x: dense.data[x.value], y: dense.data[y.value]};
plot.below[0].axis_label = labels[x.value];
plot.left[0].axis_label = labels[y.value];
"""
TAPPED = """
const chosen = cb_data.source.selected.indices;
if (chosen.length && window.showTrial) window.showTrial(cb_data.source.data.place[chosen[0]]);
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
    """The figure with a choice of both axes; None where no trial has a subnet with a measured accuracy.

    Args:
        facts: of `results.trials`, in their order.
    """
    x_axes, y_axes = (_known(names, results) for names in (X_AXES, Y_AXES))
    if not (x_axes and y_axes):
        return None
    plot = figure(
        height=480,
        sizing_mode="stretch_width",
        tools="pan,wheel_zoom,box_zoom,reset,save",
        toolbar_location="above",
        output_backend="canvas",
    )
    plot.toolbar.logo = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.xaxis.axis_label, plot.yaxis.axis_label = _label(x_axes[0]), _label(y_axes[0])
    plot.xaxis.formatter = CustomJSTickFormatter(code=TICKS)
    scenes = {f"{y.name}|{x.name}": front_data(results, x, y) for y in y_axes for x in x_axes}
    fronts = {pair: _front(each) for pair, each in scenes.items()}
    averages = {pair: _means(each) for pair, each in scenes.items()}
    first = f"{y_axes[0].name}|{x_axes[0].name}"
    front, means = ColumnDataSource(fronts[first]), ColumnDataSource(averages[first])
    line = plot.step("x", "y", source=front, mode="after", color="#333333", line_width=2)
    name = "front of the means" if means.data["x"] else "Pareto front"  # two columns in a phone's width
    legend: list[tuple[str, list[Any]]] = [(name, [line])]
    sources, drawn = _points(plot, results, facts, [*x_axes, *y_axes])
    legend += drawn
    legend += _draw_means(plot, means)
    dense, star = _dense(plot, results, [*x_axes, *y_axes])
    legend += [("dense network", [star])]
    plot.add_layout(
        Legend(
            items=[LegendItem(label=label, renderers=list(renderers)) for label, renderers in legend],
            ncols=2,
            location="top_left",
            click_policy="hide",
            border_line_color=None,
            label_text_font_size="11px",
        ),
        "below",
    )
    dots = [renderers[0] for _, renderers in drawn]
    plot.add_tools(HoverTool(renderers=dots, tooltips=TOOLTIPS))
    plot.add_tools(TapTool(renderers=dots, callback=CustomJS(code=TAPPED)))
    choose = [_choice(title, axes) for title, axes in (("Across", x_axes), ("Up", y_axes))]
    names = {each.name: _label(each) for each in (*x_axes, *y_axes)}
    switch = CustomJS(
        args={
            "x": choose[0],
            "y": choose[1],
            "sources": sources,
            "front": front,
            "means": means,
            "averages": averages,
            "dense": dense,
            "fronts": fronts,
            "labels": names,
            "plot": plot,
        },
        code=SWITCH,
    )
    for each in choose:
        each.js_on_change("value", switch)
    return column(row(*choose, sizing_mode="stretch_width"), plot, sizing_mode="stretch_width")


def _known(names: Sequence[str], results: Results) -> list[Objective]:
    """The objectives that some trial has a value of."""
    made = [objective(name, results) for name in names]
    return [each for each in made if any(each.of(trial) is not None for trial in results.trials)]


def _label(each: Objective) -> str:
    return each.label + (REPORTED if each.is_test else "")


def _choice(title: str, axes: Sequence[Objective]) -> Select:
    options: list[str | tuple[Any, str]] = [(each.name, each.label) for each in axes]
    return Select(title=title, value=axes[0].name, options=options, sizing_mode="stretch_width", min_width=120)


def _values(trials: Sequence[Trial], each: Objective) -> NDArray[np.float64]:
    return np.array([np.nan if (value := each.of(trial)) is None else value for trial in trials], dtype=float)


def _front(drawn: FrontData) -> dict[str, list[float]]:
    """The front from the left: of the means where there are several seeds, else of the trials."""
    return {"x": [each for each, _ in drawn.front], "y": [each for _, each in drawn.front]}


def _means(drawn: FrontData) -> dict[str, list[Any]]:
    """The means over seeds with their 95 % t intervals."""
    found = [mean for mean in drawn.means if mean.setting.n > 1]
    half = [mean.y.interval or 0.0 for mean in found]
    return {
        "x": [mean.x.mean for mean in found],
        "y": [mean.y.mean for mean in found],
        "low": [mean.y.mean - each for mean, each in zip(found, half, strict=True)],
        "high": [mean.y.mean + each for mean, each in zip(found, half, strict=True)],
        "setting": [mean.setting.place for mean in found],
        "text": [f"{mean.y.mean:.2f} ± {each:.2f}" for mean, each in zip(found, half, strict=True)],
        "n": [str(mean.setting.n) for mean in found],
    }


def _draw_means(plot: Any, means: ColumnDataSource) -> list[tuple[str, list[Any]]]:
    """Black rings with bars; nothing where there is one seed."""
    if not means.data["x"]:
        return []
    bars = plot.segment("x", "low", "x", "high", source=means, color="#333333", line_width=1.5)
    look = {"marker": "circle", "size": 17, "fill_alpha": 0, "line_color": "black", "line_width": 2}
    rings = plot.scatter("x", "y", source=means, **look)
    tooltips = [("mean over seeds", "@setting"), ("95 % t interval", "@text (n = @n)")]
    plot.add_tools(HoverTool(renderers=[rings], tooltips=tooltips))
    return [("mean of seeds, 95 % interval", [rings, bars])]


def _points(
    plot: Any, results: Results, facts: Sequence[Facts], axes: Sequence[Objective]
) -> tuple[list[ColumnDataSource], list[tuple[str, list[Any]]]]:
    """One source and one kind of mark a budget; hollow marks are over their budget."""
    place = {trial.folder: number for number, trial in enumerate(results.trials)}
    sources, drawn = [], []
    for number, group in enumerate(budgets(results)):
        members = [place[trial.folder] for trial in group.trials if trial.record and trial.record.subnet]
        if not members:
            continue
        members.sort(key=lambda each: results.trials[each] is group.best)  # drawn last, over the others
        source = ColumnDataSource(_columns(group, members, results, facts, axes))
        colour = COLOURS[number % len(COLOURS)]
        mark = plot.scatter(
            "x",
            "y",
            source=source,
            marker=MARKERS[number % len(MARKERS)],
            size="size",
            color=colour,
            fill_alpha="fill",
            line_color="edge",
            nonselection_fill_alpha="fill",
        )
        sources.append(source)
        drawn.append((f"budget {group.label} ({len(members)})", [mark]))
    return sources, drawn


def _columns(
    group: Budget, members: list[int], results: Results, facts: Sequence[Facts], axes: Sequence[Objective]
) -> dict[str, Any]:
    trials, mine = [results.trials[place] for place in members], [facts[place] for place in members]
    columns: dict[str, Any] = {each.name: _values(trials, each) for each in axes}
    first = {each.name: each for each in axes}
    x = next(name for name in X_AXES if name in first)
    y = next(name for name in Y_AXES if name in first)
    columns |= {"x": columns[x], "y": columns[y], "place": members}
    for column_name, field in (("macs_text", "macs"), ("params_text", "params"), ("val_text", "top1_val")):
        columns[column_name] = [getattr(each, field) for each in mine]
    columns["test_text"] = [each.top1_test for each in mine]
    for field in ("name", "status", "budget", "seed", "widths", "explored", "rerun"):
        columns[field] = [getattr(each, field) for each in mine]
    chosen = {group.best.folder} if group.best else set()
    columns["size"] = [15 if trial.folder in chosen else 9 for trial in trials]
    edges = {True: "white", False: "gray"}
    columns["edge"] = ["black" if trial.folder in chosen else edges[trial.met_budget] for trial in trials]
    columns["fill"] = [0.85 if trial.met_budget else 0.0 for trial in trials]
    return columns


def _dense(plot: Any, results: Results, axes: Sequence[Objective]) -> tuple[ColumnDataSource, Any]:
    """A star for each dense network; a quantity that it does not have leaves it out of the picture."""
    seen: dict[tuple[float, ...], None] = {}
    for trial in results.trials:
        values = tuple(np.nan if (value := each.dense(trial)) is None else float(value) for each in axes)
        if trial.record and trial.record.dense and str(values) not in map(str, seen):
            seen[values] = None
    rows = np.array(list(seen), dtype=float).reshape(len(seen), len(axes))
    columns = {each.name: rows[:, number] for number, each in enumerate(axes)}
    x = next(name for name in X_AXES if name in columns)
    y = next(name for name in Y_AXES if name in columns)
    source = ColumnDataSource({**columns, "x": columns[x], "y": columns[y]})
    return source, plot.scatter("x", "y", source=source, marker="star", size=18, color="black", line_color="white")
