"""Draw the marks of the interactive front: points of trials, means over seeds, dense networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, HoverTool
from bokeh.models.widgets import Select
from numpy.typing import NDArray

from analysis.drawing.marks import COLOURS, PREVIEW
from analysis.fronts.budgets import Budget, budgets, dense_networks
from analysis.fronts.front_data import FrontData
from analysis.fronts.objectives import Objective
from analysis.report.facts import Facts
from analysis.trials.trial import Results, Trial

MARKERS = ("circle", "square", "triangle", "diamond", "plus", "hex", "star", "inverted_triangle")
X_AXES = ("macs", "params", "latency_ratio", "search_cost")
Y_AXES = ("top1_val", "top5_val", "top1_test", "top5_test")
DASHES = ("solid", "dashed", "dashdot", "dotted")
SELECTED = "selected of each budget"
LARGE = 14  # size of a selected network's mark, in pixels
Marks = tuple[str, list[Any]]  # name in the legend, renderers


def _values(trials: Sequence[Trial], each: Objective) -> NDArray[np.float64]:
    return np.array([_number(each.of(trial)) for trial in trials], dtype=float)


def curve_columns(data: FrontData) -> dict[str, list[Any]]:
    """Return a line an experiment: the selected networks of its budgets, or their means over seeds, from the left."""
    names = list(dict.fromkeys(group.experiment for group in data.groups))
    lines = list(data.curves.items())
    return {
        "xs": [[x for x, _ in points] for _, points in lines],
        "ys": [[y for _, y in points] for _, points in lines],
        "colour": [COLOURS[names.index(name) % len(COLOURS)] for (name, _), _ in lines],
        "dash": [DASHES[names.index(name) % len(DASHES)] for (name, _), _ in lines],
    }


def draw_curves(plot: Any, curves: ColumnDataSource) -> Any:
    """Draw the lines that `curve_columns` gives."""
    return plot.multi_line("xs", "ys", source=curves, name="curves", color="colour", line_dash="dash", line_width=3)


def means_columns(data: FrontData) -> dict[str, list[Any]]:
    """Return the means over seeds with their 95 % t intervals; those that were not selected smaller and fainter."""
    shown = [mean for mean in data.means if mean.setting.n > 1]
    half = [mean.y.interval or 0.0 for mean in shown]
    names = list(dict.fromkeys(group.experiment for group in data.groups))
    looks = [names.index(data.groups[mean.budget].experiment) for mean in shown]
    return {
        "x": [mean.x.mean for mean in shown],
        "y": [mean.y.mean for mean in shown],
        "low": [mean.y.mean - each for mean, each in zip(shown, half, strict=True)],
        "high": [mean.y.mean + each for mean, each in zip(shown, half, strict=True)],
        "setting": [mean.setting.name for mean in shown],
        "text": [f"{mean.y.mean:.2f} ± {each:.2f}" for mean, each in zip(shown, half, strict=True)],
        "n": [str(mean.setting.n) for mean in shown],
        "colour": [COLOURS[number % len(COLOURS)] for number in looks],
        "marker": [MARKERS[number % len(MARKERS)] for number in looks],
        "size": [LARGE if mean.selected else 9 for mean in shown],
        "alpha": [1.0 if mean.selected else 0.4 for mean in shown],
    }


def draw_means(plot: Any, means: ColumnDataSource) -> list[Marks]:
    """Draw large marks with bars; nothing where there is one seed."""
    if not means.data["x"]:
        return []
    bars = plot.segment("x", "low", "x", "high", source=means, color="#333333", line_width=1.5, alpha="alpha")
    look = {"marker": "marker", "size": "size", "color": "colour", "alpha": "alpha", "line_color": "black"}
    marks = plot.scatter("x", "y", source=means, **look)
    tooltips = [("mean over seeds", "@setting"), ("95 % t interval", "@text (n = @n)")]
    plot.add_tools(HoverTool(renderers=[marks], tooltips=tooltips))
    return [("mean of seeds, 95 % interval", [marks, bars])]


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
    line = plot.multi_line("xs", "ys", source=source, name="preview", color="#999999", line_width=1)
    follow_axes(source, columns, choices)
    return [(PREVIEW, [line])]


def follow_axes(source: ColumnDataSource, columns: Mapping[str, Any], choices: Sequence[Select]) -> None:
    """Have a source show the columns of the pair of objectives that is chosen.

    Args:
        columns: by the values `up|across` of the choices, across and up.
    """
    x, y = choices
    code = 'source.data = columns[y.value + "|" + x.value];'
    follow = CustomJS(args={"x": x, "y": y, "source": source, "columns": columns}, code=code)
    for choice in choices:
        choice.js_on_change("value", follow)


def draw_points(
    plot: Any, results: Results, facts: Sequence[Facts], axes: Sequence[Objective]
) -> tuple[list[ColumnDataSource], list[Marks], list[Any]]:
    """Draw the trials of each experiment: small and faint, the selected one of each budget large.

    Where budgets were run with several seeds their means are large, and no trial is.

    Returns:
        The sources; the name in the legend and the large marks of each experiment; the small marks.
    """
    experiments: dict[str, list[Budget]] = {}
    for group in budgets(results):
        experiments.setdefault(group.experiment, []).append(group)
    repeated = any(group.setting for group in budgets(results))
    sources: list[ColumnDataSource] = []
    selected: list[Marks] = []
    small: list[Any] = []
    for number, (name, groups) in enumerate(experiments.items()):
        chosen = {group.best.folder for group in groups if group.best and not repeated}
        folders = {trial.folder for group in groups for trial in group.trials}
        rows = [n for n, t in enumerate(results.trials) if t.folder in folders and t.record and t.record.subnet]
        for large in (False, True):
            members = [row for row in rows if (results.trials[row].folder in chosen) == large]
            source = ColumnDataSource(_columns(members, results, facts, axes))
            mark = plot.scatter("x", "y", source=source, **_look(number, large))
            sources.append(source)
            if large:
                label = f"{name} ({len(rows)} trials)" if len(experiments) > 1 else SELECTED
                selected.append((label, [mark]))
            else:
                small.append(mark)
    return sources, selected, small


def _look(number: int, large: bool) -> dict[str, Any]:
    """Return how trials of the experiment of this number are drawn; large ones lie above the lines."""
    shape = {"marker": MARKERS[number % len(MARKERS)], "color": COLOURS[number % len(COLOURS)]}
    if large:
        return {**shape, "size": LARGE, "line_color": "black", "nonselection_alpha": 1.0, "level": "annotation"}
    return {**shape, "size": 6, "fill_alpha": "fill", "line_color": "edge", "nonselection_fill_alpha": "fill"}


def _columns(members: list[int], results: Results, facts: Sequence[Facts], axes: Sequence[Objective]) -> dict[str, Any]:
    trials, texts = [results.trials[row] for row in members], [facts[row] for row in members]
    columns: dict[str, Any] = {each.name: _values(trials, each) for each in axes}
    first = {each.name: each for each in axes}
    x = axes[0].name
    y = next(name for name in Y_AXES if name in first)
    columns |= {"x": columns[x], "y": columns[y], "row": members}
    for column_name, field in (("macs_text", "macs"), ("params_text", "params"), ("val_text", "top1_val")):
        columns[column_name] = [getattr(each, field) for each in texts]
    columns["test_text"] = [each.top1_test for each in texts]
    for field in ("name", "status", "budget", "seed", "widths", "explored", "rerun"):
        columns[field] = [getattr(each, field) for each in texts]
    columns["edge"] = [None if trial.met_budget else "gray" for trial in trials]
    columns["fill"] = [0.45 if trial.met_budget else 0.0 for trial in trials]
    return columns


def draw_dense(plot: Any, results: Results, axes: Sequence[Objective]) -> tuple[ColumnDataSource, Any]:
    """Draw a star for each size of dense network, at the means of those that were trained.

    A quantity that it does not have leaves it out of the picture.
    """
    sizes = dense_networks(results)
    columns = {each.name: np.array([_number(size.mean(each.dense)) for size in sizes], dtype=float) for each in axes}
    x = axes[0].name
    y = next(name for name in Y_AXES if name in columns)
    source = ColumnDataSource({**columns, "x": columns[x], "y": columns[y]})
    return source, plot.scatter("x", "y", source=source, marker="star", size=18, color="black", line_color="white")


def _number(value: float | None) -> float:
    return np.nan if value is None else value
