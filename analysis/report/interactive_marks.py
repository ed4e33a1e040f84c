"""Draw the marks of the interactive front: points of trials, means over seeds, dense networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, HoverTool
from bokeh.models.widgets import Select
from numpy.typing import NDArray

from analysis.drawing.marks import COLOURS, PREVIEW
from analysis.fronts.budgets import Budget, budgets
from analysis.fronts.front_data import FrontData
from analysis.fronts.objectives import Objective
from analysis.report.facts import Facts
from analysis.trials.trial import Results, Trial

MARKERS = ("circle", "square", "triangle", "diamond", "plus", "hex", "star", "inverted_triangle")
X_AXES = ("macs", "params", "latency", "search_cost")
Y_AXES = ("top1_val", "top5_val", "top1_test", "top5_test")
Marks = tuple[str, list[Any]]  # name in the legend, renderers


def _values(trials: Sequence[Trial], each: Objective) -> NDArray[np.float64]:
    return np.array([np.nan if (value := each.of(trial)) is None else value for trial in trials], dtype=float)


def front_columns(data: FrontData) -> dict[str, list[float]]:
    """Return the front from the left: of the means where there are several seeds, else of the trials."""
    return {"x": [each for each, _ in data.front], "y": [each for _, each in data.front]}


def means_columns(data: FrontData) -> dict[str, list[Any]]:
    """Return the means over seeds with their 95 % t intervals."""
    shown = [mean for mean in data.means if mean.setting.n > 1]
    half = [mean.y.interval or 0.0 for mean in shown]
    return {
        "x": [mean.x.mean for mean in shown],
        "y": [mean.y.mean for mean in shown],
        "low": [mean.y.mean - each for mean, each in zip(shown, half, strict=True)],
        "high": [mean.y.mean + each for mean, each in zip(shown, half, strict=True)],
        "setting": [mean.setting.name for mean in shown],
        "text": [f"{mean.y.mean:.2f} ± {each:.2f}" for mean, each in zip(shown, half, strict=True)],
        "n": [str(mean.setting.n) for mean in shown],
    }


def draw_means(plot: Any, means: ColumnDataSource) -> list[Marks]:
    """Draw black rings with bars; nothing where there is one seed."""
    if not means.data["x"]:
        return []
    bars = plot.segment("x", "low", "x", "high", source=means, color="#333333", line_width=1.5)
    look = {"marker": "circle", "size": 17, "fill_alpha": 0, "line_color": "black", "line_width": 2}
    rings = plot.scatter("x", "y", source=means, **look)
    tooltips = [("mean over seeds", "@setting"), ("95 % t interval", "@text (n = @n)")]
    plot.add_tools(HoverTool(renderers=[rings], tooltips=tooltips))
    return [("mean of seeds, 95 % interval", [rings, bars])]


def preview_columns(data: FrontData) -> dict[str, list[list[float]]]:
    """Return a line a results folder with a preview, without the points that would flatten the trained ones."""
    lines = [[(x, y) for x, y in line if y >= data.floor] for line in data.preview]
    return {"xs": [[x for x, _ in line] for line in lines], "ys": [[y for _, y in line] for line in lines]}


def draw_preview(plot: Any, pairs: Mapping[str, FrontData], first: str, choices: Sequence[Select]) -> list[Marks]:
    """Draw a thin line a results folder with a preview; nothing where there is none.

    Args:
        pairs: of each pair of objectives, by the values `up|across` of the choices; `first`: that shown at first.
        choices: across and up.
    """
    columns = {pair: preview_columns(data) for pair, data in pairs.items()}
    if not any(line for each in columns.values() for line in each["xs"]):
        return []
    source = ColumnDataSource(columns[first])
    line = plot.multi_line("xs", "ys", source=source, color="#999999", line_width=1)
    x, y = choices
    code = 'source.data = columns[y.value + "|" + x.value];'
    follow = CustomJS(args={"x": x, "y": y, "source": source, "columns": columns}, code=code)
    for choice in choices:
        choice.js_on_change("value", follow)
    return [(PREVIEW, [line])]


def draw_points(
    plot: Any, results: Results, facts: Sequence[Facts], axes: Sequence[Objective]
) -> tuple[list[ColumnDataSource], list[Marks]]:
    """Draw one source and one kind of mark a budget; hollow marks are over their budget."""
    rows = {trial.folder: number for number, trial in enumerate(results.trials)}
    sources, drawn = [], []
    for number, group in enumerate(budgets(results)):
        members = [rows[trial.folder] for trial in group.trials if trial.record and trial.record.subnet]
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
    trials, texts = [results.trials[row] for row in members], [facts[row] for row in members]
    columns: dict[str, Any] = {each.name: _values(trials, each) for each in axes}
    first = {each.name: each for each in axes}
    x = next(name for name in X_AXES if name in first)
    y = next(name for name in Y_AXES if name in first)
    columns |= {"x": columns[x], "y": columns[y], "row": members}
    for column_name, field in (("macs_text", "macs"), ("params_text", "params"), ("val_text", "top1_val")):
        columns[column_name] = [getattr(each, field) for each in texts]
    columns["test_text"] = [each.top1_test for each in texts]
    for field in ("name", "status", "budget", "seed", "widths", "explored", "rerun"):
        columns[field] = [getattr(each, field) for each in texts]
    chosen = {group.best.folder} if group.best else set()
    columns["size"] = [15 if trial.folder in chosen else 9 for trial in trials]
    edges = {True: "white", False: "gray"}
    columns["edge"] = ["black" if trial.folder in chosen else edges[trial.met_budget] for trial in trials]
    columns["fill"] = [0.85 if trial.met_budget else 0.0 for trial in trials]
    return columns


def draw_dense(plot: Any, results: Results, axes: Sequence[Objective]) -> tuple[ColumnDataSource, Any]:
    """Draw a star for each dense network; a quantity that it does not have leaves it out of the picture."""
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
