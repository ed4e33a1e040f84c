"""Place labels in a figure so that they cover neither points nor each other nor the edge of the axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

Position = tuple[float, float]
Array = NDArray[np.float64]

RINGS = (10, 16, 24, 34, 46, 60, 76, 94, 114)  # distances from point to label, in points
DIRECTIONS = 16
POINT_RADIUS = 5.0  # of a dot, in points
LINE_WEIGHT = 0.05  # covering one of the many points on a line, against covering a dot
STYLE = {
    "textcoords": "offset points",
    "ha": "center",
    "va": "center",
    "fontsize": 10,
    "zorder": 9,
    "bbox": {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
    "arrowprops": {"arrowstyle": "-", "color": "0.35", "lw": 0.7, "shrinkA": 0, "shrinkB": 5},
}


def place_labels(
    axes: Axes, labels: Sequence[tuple[float, float, str]], dots: Sequence[Position], lines: Sequence[Position] = ()
) -> list[Bbox]:
    """Annotate each data point (x, y, text) at the nearest free position around it, with a thin leader line.

    Args:
        dots: points in data coordinates that no label may cover; if no position is free, the least covering wins.
        lines: points on lines, in data coordinates, better not covered.
    Returns:
        The pixel boxes of the labels.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    pixel = figure.dpi / 72
    taken = axes.transData.transform(np.reshape([*dots, *lines], (-1, 2)))
    weight = np.r_[np.ones(len(dots)), np.full(len(lines), LINE_WEIGHT)]
    window = axes.get_window_extent(renderer)
    placed: list[Bbox] = []
    for x, y, text in labels:
        note = axes.annotate(text, (x, y), xytext=(0, 0), **STYLE)  # type: ignore[arg-type]
        note.set_in_layout(False)
        # The text alone: the extent of an annotation would include its leader line.
        size = Text.get_window_extent(note, renderer).padded(3 * pixel)
        start = axes.transData.transform((x, y))
        best, best_cost = (0.0, 0.0), (np.inf, np.inf, np.inf)
        for offset in _offsets(size.width / pixel, size.height / pixel):
            centre = start + np.multiply(offset, pixel)
            half = np.divide(size.size, 2)
            box = Bbox([centre - half, centre + half])
            reach = half + POINT_RADIUS * pixel
            covered = float(weight @ (np.abs(taken - centre) < reach).all(axis=1))
            cost = (_conflicts(box, window, placed), covered, float(np.hypot(*offset)))
            if cost < best_cost:
                best, best_cost, best_box = offset, cost, box
        note.set_position(best)
        placed.append(best_box)
    return placed


def _offsets(width: float, height: float) -> list[Position]:
    """Return offsets of the label's centre, in points: rings around the point, wide enough for the label's own size."""
    angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    rings = [(ring + width / 2, ring + height / 2) for ring in RINGS]
    return [(float(a * np.cos(angle)), float(b * np.sin(angle))) for a, b in rings for angle in angles]


def _conflicts(box: Bbox, window: Bbox, placed: list[Bbox]) -> float:
    """Count the labels that the box covers, and one more if it is not inside the axes."""
    outside = box.x0 < window.x0 or box.x1 > window.x1 or box.y0 < window.y0 or box.y1 > window.y1
    return float(sum(box.overlaps(other) for other in placed) + outside)
