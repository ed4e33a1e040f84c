"""Draw each explored parameter against held-out top-1, budget by budget."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import blended_transform_factory

from analysis.drawing.fonts import drawable
from analysis.drawing.marks import COLOURS, MARKERS, RED
from analysis.searches.explored import Group, Parameter

MOST_BUDGETS, MOST_PARAMETERS = 6, 6


def draw_slice(axes: Axes, group: Group, parameter: Parameter, number: int = 0) -> None:
    """Draw one parameter within one budget: a dot a finished trial, the best with a black edge, else a cross below.

    Args:
        number: of the budget, for colour and marker.
    """
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    tried = [(v[parameter.key], t) for v, t in zip(group.values, group.top1, strict=True) if parameter.key in v]
    known = [(_position(parameter, value), top1) for value, top1 in tried if top1 is not None]
    if known:
        x, y = zip(*known, strict=True)
        axes.scatter(x, y, s=24, c=colour, marker=marker, alpha=0.7, edgecolors="white", lw=0.4, zorder=3)
        best = max(known, key=lambda point: point[1])
        axes.scatter(*best, s=44, c=colour, marker=marker, edgecolors="black", lw=1.0, zorder=4)
    lost = [_position(parameter, value) for value, top1 in tried if top1 is None]
    if lost:
        bottom = blended_transform_factory(axes.transData, axes.transAxes)
        axes.scatter(lost, [0.04] * len(lost), s=26, c=RED, marker="x", lw=1.0, transform=bottom, zorder=4)
    _scale(axes, parameter)


def _position(parameter: Parameter, value: Any) -> float:
    return float(parameter.choices.index(value)) if parameter.choices else float(value)


def _scale(axes: Axes, parameter: Parameter) -> None:
    axes.tick_params(labelsize=7)
    if parameter.choices:
        names = [shorten(drawable(str(choice)), 14, placeholder="...") for choice in parameter.choices]
        axes.set_xticks(range(len(names)), names, fontsize=7, rotation=30 if max(map(len, names)) > 5 else 0)
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif parameter.log:
        axes.set_xscale("log")
        axes.set_xlim(parameter.low / 1.15, parameter.high * 1.15)
        wide = parameter.high / parameter.low > 50
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.05 * (parameter.high - parameter.low or 1.0)
        axes.set_xlim(parameter.low - room, parameter.high + room)


def _accuracies(group: Group) -> tuple[float, float]:
    """Return limits at least a point apart, with room for crosses below."""
    known = [top1 for _, top1 in group.finished] or [0.0, 100.0]
    room = max(1.0, max(known) - min(known))
    middle = (max(known) + min(known)) / 2
    return middle - 0.7 * room, middle + 0.62 * room


def figure(groups: Sequence[Group]) -> Figure:
    """Draw budgets from top to bottom, parameters from left to right; says so where there is nothing."""
    explored = [group for group in groups if group.parameters]
    shown = explored[:MOST_BUDGETS]
    if not shown:
        picture = Figure(figsize=(8.0, 2.0))
        text = "Nothing was explored" if groups else "No trial has ended: nothing to say yet"
        picture.text(0.5, 0.5, text, ha="center", va="center", fontsize=14, color="0.35")
        return picture
    keys = list(dict.fromkeys(each.key for group in shown for each in group.parameters))
    columns = keys[:MOST_PARAMETERS]
    last = {each.key: row for row, group in enumerate(shown) for each in group.parameters}
    size = (max(4.5, 2.3 * len(columns) + 0.6), 1.7 * len(shown) + 1.2)
    picture = Figure(figsize=size, layout="constrained")
    grid = picture.subplots(len(shown), len(columns), squeeze=False, sharey="row")
    for row, group in enumerate(shown):
        by_key = {each.key: each for each in group.parameters}
        for column, key in enumerate(columns):
            axes = grid[row, column]
            axes.set_visible(key in by_key)
            if key in by_key:
                draw_slice(axes, group, by_key[key], row)
                axes.tick_params(labelbottom=last[key] == row)
                axes.set_xlabel(key if last[key] == row else "", fontsize=8)
        first = next((axes for axes in grid[row] if axes.get_visible()), grid[row, 0])
        first.set_ylim(*_accuracies(group))
        first.tick_params(labelleft=True)
        first.set_ylabel(f"budget {group.label}\ntop-1 (%)", fontsize=8)
    hidden = [f"{len(shown)} of {len(explored)} budgets"] * (len(shown) < len(explored))
    hidden += [f"{len(columns)} of {len(keys)} parameters"] * (len(columns) < len(keys))
    title = "Held-out top-1 by parameter" + f" ({', '.join(hidden)})" * bool(hidden)
    picture.suptitle(title, x=0.012, ha="left", fontsize=10, fontweight="bold")
    lost = any(top1 is None for group in shown for top1 in group.top1)
    note = "black edge: best of its budget" + "; cross: failed, stopped or over budget" * lost
    picture.supxlabel(note, x=0.988, ha="right", fontsize=6.5, color="0.3")
    return picture
