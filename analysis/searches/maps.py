"""Draw importance and sparsity of every unit over the epochs of a search, axis by axis; what was cut is blank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from analysis.searches.trace import AxisTrace, SearchTrace
from ofb_ray.errors import InputError, nearest

Order = Literal["rank", "index"]
Quantity = Literal["importance", "sparsity"]
MOST = 10  # axes in a picture
PER_ROW = 5
MAP = "cividis"
CUT = "///"


def chosen(trace: SearchTrace, names: Sequence[str] = ()) -> list[AxisTrace]:
    """Choose the axes of these names; without names at most `MOST`, evenly spread over the network.

    Raises:
        InputError: there is no such axis, or there are more than `MOST` names.
    """
    for name in names:
        if name not in trace.axes:
            raise InputError(f"{name} is no axis of this trial{nearest(name, list(trace.axes))}", key="--axes")
    if len(names) > MOST:
        raise InputError(f"{len(names)} axes do not fit one picture; name at most {MOST}", key="--axes")
    if names:
        return [trace.axes[name] for name in dict.fromkeys(names)]
    axes = list(trace.axes.values())
    if len(axes) <= MOST:
        return axes
    # One embedding at least, then blocks from the first to the last: attention beside its MLP.
    return [axes[round(index)] for index in np.linspace(0, len(axes) - 1, MOST)]


def unit_order(axis: AxisTrace, by: Order = "rank") -> NDArray[np.intp]:
    """Order the units from top to bottom: longest life first, then last importance; heads stay together."""
    if by == "index":
        return np.arange(axis.heads * axis.width)
    living = axis.living
    life = living.sum(axis=0)
    last = axis.score[np.maximum(life - 1, 0), np.arange(len(life))]
    merit = (life + np.nan_to_num(last) / 10).reshape(axis.heads, axis.width)
    heads = np.argsort(-merit.sum(axis=1), kind="stable")
    return np.concatenate([head * axis.width + np.argsort(-merit[head], kind="stable") for head in heads])


def importance_limits(axes: Sequence[AxisTrace]) -> tuple[float, float]:
    """Return the range of importances and gates to show: scores start close together, so 0 to 1 would show little."""
    values = np.concatenate([axis.score[axis.living] for axis in axes])
    low, high = np.quantile(values, (0.01, 0.99)) if len(values) else (0.0, 1.0)
    return float(np.floor(low * 10) / 10), float(max(np.ceil(high * 10), np.floor(low * 10) + 1) / 10)


def draw_map(
    axes: Axes,
    trace: SearchTrace,
    axis: AxisTrace,
    quantity: Quantity,
    by: Order = "rank",
    scale: tuple[float, float] = (0.0, 1.0),
) -> QuadMesh:
    """Draw one map, epochs across and units down; returns what a colour bar needs. A line marks the decision."""
    values = (axis.score if quantity == "importance" else axis.sparsity)[:, unit_order(axis, by)]
    middle = (trace.epoch[1:] + trace.epoch[:-1]) / 2
    left = trace.epoch[0] - 0.5
    edges = np.concatenate([[left], middle, [trace.epoch[-1] + 0.5]])
    units = values.shape[1]
    axes.axhspan(0, units, fc="white", ec="0.75", hatch=CUT, lw=0, zorder=0)
    grid = np.ma.masked_invalid(values.T)
    mesh = axes.pcolormesh(edges, np.arange(units + 1), grid, cmap=MAP, rasterized=True, zorder=1)
    mesh.set_clim(*scale)
    for head in range(1, axis.heads):
        axes.axhline(head * axis.width, color="white", lw=0.7, zorder=2)
    if axis.decided is not None and axis.decided > 0:
        axes.axvline(edges[axis.decided], color="#D55E00", lw=1.2, ls="--", zorder=3)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(units, 0))
    axes.set_yticks([0, units])
    axes.tick_params(labelsize=6, length=2)
    axes.grid(visible=False)
    return mesh


def figure(trace: SearchTrace | None, title: str, names: Sequence[str] = (), by: Order = "rank") -> Figure:
    """Draw the maps of one trial: under each axis' importance its sparsity. Without a trace the figure says so."""
    if trace is None:
        picture = Figure(figsize=(8.0, 2.0))
        picture.text(0.5, 0.5, f"{title}: no search.npz", ha="center", va="center", fontsize=12, color="0.35")
        return picture
    axes = chosen(trace, names)
    across, down = min(PER_ROW, len(axes)), -(-len(axes) // PER_ROW)
    picture = Figure(figsize=(max(4.5, 1.9 * across + 0.9), 2.9 * down + 0.9), layout="constrained")
    grid = picture.subplots(2 * down, across, squeeze=False)
    scale = importance_limits(axes)
    meshes = []
    for number in range(down * across):
        row, column = divmod(number, across)
        above, below = grid[2 * row : 2 * row + 2, column]
        if number >= len(axes):
            above.set_visible(False)
            below.set_visible(False)
            continue
        axis = axes[number]
        meshes = [draw_map(above, trace, axis, "importance", by, scale), draw_map(below, trace, axis, "sparsity", by)]
        left, size = int(axis.living[-1].sum()), f"{axis.heads} x {axis.width}" if axis.heads > 1 else str(axis.width)
        gap = " " if len(axis.name) < 16 else "\n"
        above.set_title(f"{axis.name}:{gap}{left} of {size}", fontsize=7.5, pad=3)
        above.set_xticklabels([])
        below.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
        if column == 0:
            above.set_ylabel("importance", fontsize=8)
            below.set_ylabel("sparsity", fontsize=8)
    picture.supxlabel("epoch of the search", fontsize=8)
    for mesh, rows, label in zip(meshes, _halves(grid), ("importance S, then gate", "sparsity V"), strict=True):
        bar = picture.colorbar(mesh, ax=rows, pad=0.01, aspect=18, extend="both" if mesh is meshes[0] else "neither")
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    some = f", {len(axes)} of {len(trace.axes)} axes" if len(axes) < len(trace.axes) else ""
    picture.suptitle(f"{title}{some}", x=0.012, ha="left", fontsize=10, fontweight="bold")
    order = "ranked within a head, the last to live on top" if by == "rank" else "in the order at the search's start"
    picture.text(0.988, 0.005, f"Units {order}; hatched: cut; dashed: decided", ha="right", fontsize=6.5, color="0.3")
    return picture


def _halves(grid: NDArray[Any]) -> list[list[Axes]]:
    """Return the rows that each colour bar stands beside: of two rows one each, of more half of them."""
    middle = len(grid) // 2
    return [list(grid[:middle].flat), list(grid[middle:].flat)]
