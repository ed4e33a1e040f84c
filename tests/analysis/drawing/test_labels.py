"""Labels cover neither each other nor points."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from matplotlib.figure import Figure

from analysis.drawing import front, style
from analysis.drawing.labels import place_labels


@pytest.mark.parametrize("ratios", [[0.5], [0.25, 0.5, 0.75], [0.1 + 0.05 * step for step in range(16)]])
def test_labels_cover_neither_each_other_nor_points_nor_the_edge(ratios: list[float]) -> None:
    draw = random.Random(1)
    figure = Figure(figsize=front.SIZE, dpi=style.DPI)
    axes = figure.add_subplot(xlim=(0, 1), ylim=(96, 100))
    dots = [(ratio, 97 + 2 * ratio + draw.gauss(0, 0.2)) for ratio in ratios for _ in range(4)]
    boxes = place_labels(axes, [(x, y, "#12: 98.1") for x, y in dots[::4]], dots)
    window = axes.get_window_extent()
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.contains(*axes.transData.transform(dot)) for box in boxes for dot in dots)
    assert all(window.contains(*corner) for box in boxes for corner in box.corners())
