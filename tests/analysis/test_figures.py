"""The figure shows what it must, and its labels can be read."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from analysis import figures

from analysis.labels import place
from analysis.load import read
from analysis.objectives import objective
from analysis.scale import accuracy_limits, scene, size_limits, unit_of
from ofb_ray.records import Record
from tests.analysis.factory import failed, record, write


def cloud(count: int, ratios: list[float], spread: float = 0.5) -> list[Record]:
    """Trials at 97-99 %, round robin over the budgets."""
    draw = random.Random(0)
    cells = [(number, ratios[number % len(ratios)]) for number in range(count)]
    return [record(number, ratio, round(97 + 2 * ratio + draw.gauss(0, spread), 2)) for number, ratio in cells]


def texts(figure: Figure) -> list[str]:
    """All that is written inside the axes and in the legend."""
    axes = figure.axes[0]
    legend = axes.get_legend()
    written = [*axes.texts, *(legend.get_texts() if legend else [])]
    return [text.get_text() for text in written]


def test_the_figure_names_budgets_dense_network_selection_and_losses(tmp_path: Path) -> None:
    trials = [*cloud(6, [0.25, 0.5]), failed(6, 0.5), failed(7, 0.5), record(8, 0.25, 10.0)]
    found = texts(figures.draw(read([write(tmp_path, trials)])))
    for text in (
        "0.25",
        "0.5",
        "dense network (98.6 %)",
        "not reachable",
        "2 failed",
        "  × 2",
        "off the scale: 1 at 10 %",
    ):
        assert text in found
    assert sum("test" in text and text.startswith("#") for text in found) == 2


def test_without_a_finished_trial_the_figure_says_so(tmp_path: Path) -> None:
    assert "No finished trial" in texts(figures.draw(read([write(tmp_path / "a", [])])))
    assert "No finished trial" in texts(figures.draw(read([write(tmp_path / "b", [failed(0, dense=None)])])))


def test_dollars_and_long_questions_are_text_inside_the_figure(tmp_path: Path) -> None:
    results = read([write(tmp_path, [record(0)], question=r"$\frac{ IS IT " + "WORTH THE MONEY " * 30)])
    with mpl.rc_context(figures.STYLE):
        figure = figures.draw(results)
        figure.draw_without_rendering()
        title = figure.get_suptitle()
    assert title.startswith(r"$\frac{")
    assert title.count("\n") == 1
    assert figure.texts[0].get_window_extent().width <= figure.bbox.width


@pytest.mark.parametrize("ratios", [[0.5], [0.25, 0.5, 0.75], [0.1 + 0.05 * step for step in range(16)]])
def test_labels_cover_neither_each_other_nor_points_nor_the_edge(ratios: list[float]) -> None:
    draw = random.Random(1)
    figure = Figure(figsize=figures.SIZE, dpi=figures.DPI)
    axes = figure.add_subplot(xlim=(0, 1), ylim=(96, 100))
    dots = [(ratio, 97 + 2 * ratio + draw.gauss(0, 0.2)) for ratio in ratios for _ in range(4)]
    boxes = place(axes, [(x, y, "#12: 98.1") for x, y in dots[::4]], dots)
    window = axes.get_window_extent()
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.contains(*axes.transData.transform(dot)) for box in boxes for dot in dots)
    assert all(window.contains(*corner) for box in boxes for corner in box.corners())


def test_collapsed_trials_do_not_set_the_scale_but_selected_ones_do(tmp_path: Path) -> None:
    trials = [*cloud(9, [0.5]), record(9, 0.5, 10.0), record(10, 0.12, 60.0)]
    results = read([write(tmp_path, trials)])
    what = scene(results, objective("macs", results), objective("top1_val", results))
    assert [point.y for point in what.collapsed] == [10.0]
    assert 60.0 in [point.y for point in what.shown]


def test_limits_are_a_point_apart_and_hold_all_values() -> None:
    for values in ([98.0], [98.0, 98.2], [97.1, 99.4], [100.0, 99.9], [12.0, 99.0]):
        low, high = accuracy_limits(values, marks=False)
        assert low < min(values)
        assert max(values) < high
        assert high - low >= 1
    assert accuracy_limits([], marks=True) == (0.0, 100.0)
    assert accuracy_limits([float("nan"), 90.0], marks=False)[0] < 90


def test_macs_are_drawn_from_zero_unless_they_span_orders_of_magnitude() -> None:
    assert size_limits([0.2, 1.0])[::2] == (0.0, False)
    assert size_limits([0.02, 1.0])[2]
    assert size_limits([]) == (0.0, 1.0, False)
    assert [unit_of([value])[0] for value in (100, 600, 4e5, 6e5, 1.3e9)] == [1.0, 1e3, 1e3, 1e6, 1e9]
