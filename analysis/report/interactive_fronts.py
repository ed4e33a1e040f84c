"""Mark in the interactive front what is on the front of another cost, but not on that which is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from bokeh.models import ColumnDataSource, HoverTool
from bokeh.models.widgets import Select

from analysis.fronts.front_data import FrontData
from analysis.report.interactive_marks import Marks, follow_axes

ELSEWHERE = "on another cost's front"
_Point = tuple[float, float, bool]


def _points(data: FrontData) -> dict[str, _Point]:
    """Return what a front is made of, by name: means over seeds where there are several, else trials."""
    means = {mean.setting.name: (mean.x.mean, mean.y.mean, mean.on_front) for mean in data.means if mean.setting.n > 1}
    return means or {
        str(point.trial.folder): (point.x, point.y, point.on_front) for point in data.shown + data.collapsed
    }


def elsewhere_columns(pairs: Mapping[str, FrontData]) -> dict[str, dict[str, list[Any]]]:
    """Return for each pair of objectives the points that another cost has on its front and this one has not.

    Args:
        pairs: by `up|across`.
    """
    # What a search took is no cost of its network.
    known = {pair: _points(data) if data.x.name != "search_cost" else {} for pair, data in pairs.items()}
    found = {}
    for pair, points in known.items():
        up = pair.partition("|")[0]
        others = {other: each for other, each in known.items() if other != pair and other.partition("|")[0] == up}
        rows = []
        for name, (x, y, on_front) in points.items():
            costs = [pairs[other].x.label for other, each in others.items() if name in each and each[name][2]]
            if costs and not on_front:
                rows.append((x, y, ", ".join(costs)))
        found[pair] = {key: [row[place] for row in rows] for place, key in enumerate(("x", "y", "costs"))}
    return found


def draw_elsewhere(plot: Any, pairs: Mapping[str, FrontData], first: str, choices: Sequence[Select]) -> list[Marks]:
    """Draw a ring around these points; nothing where no pair has any.

    Args:
        pairs: by the values `up|across` of the choices; `first`: that shown at first.
        choices: across and up.
    """
    columns = elsewhere_columns(pairs)
    if not any(each["x"] for each in columns.values()):
        return []
    source = ColumnDataSource(columns[first])
    look = {"marker": "circle", "size": 22, "fill_alpha": 0.0, "line_color": "#b00060", "line_width": 2}
    ring = plot.scatter("x", "y", source=source, name="elsewhere", **look)
    sample = plot.scatter([nan], [nan], **look)  # for the legend, which draws nothing of a source without points
    plot.add_tools(HoverTool(renderers=[ring], tooltips=[("on the front over", "@costs")]))
    follow_axes(source, columns, choices)
    return [(ELSEWHERE, [sample, ring])]
