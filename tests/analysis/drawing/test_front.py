"""The figure shows what it must, and its labels can be read."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import figures
from analysis.fronts.front_data import front_data
from analysis.fronts.objectives import objective
from analysis.trials.read import read
from ofb_ray.results.records import Network, Record
from tests.analysis.curves import SIX, clouds, curve
from tests.analysis.drawing.drawn import drawn, figure_of, points_of, texts
from tests.analysis.factory import failed, record, write


def cloud(count: int, ratios: list[float], spread: float = 0.5) -> list[Record]:
    """Trials at 97-99 %, round robin over the budgets."""
    draw = random.Random(0)
    cells = [(number, ratios[number % len(ratios)]) for number in range(count)]
    return [record(number, ratio, round(97 + 2 * ratio + draw.gauss(0, spread), 2)) for number, ratio in cells]


def test_the_figure_names_budgets_dense_network_selection_and_losses(tmp_path: Path) -> None:
    trials = [*cloud(6, [0.25, 0.5]), failed(6, 0.5), failed(7, 0.5), record(8, 0.25, 10.0)]
    found = texts(figures.front_figure(read([write(tmp_path, trials)])))
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


def test_several_sweeps_are_told_apart_by_look_and_budgets_by_their_lines(tmp_path: Path) -> None:
    ratios = [0.2, 0.3, 0.4, 0.5, 0.6, 0.8]
    folders = [
        write(tmp_path / name, [each.model_copy(update={"spec": {"sweep": name}}) for each in cloud(12, ratios)], name)
        for name in ("ofb", "random", "importance")
    ]
    found = texts(figures.front_figure(read(folders)))
    assert {"ofb (12 trials)", "random (12 trials)", "importance (12 trials)"} <= set(found)
    assert [text for text in found if text in [str(ratio) for ratio in ratios]] == [str(ratio) for ratio in ratios]


def test_seeds_are_drawn_as_means_with_intervals_and_say_so(tmp_path: Path) -> None:
    trials = [record(n, (0.25, 0.5)[n % 2], 96.0 + n / 2, seed=n // 2, params_explored={}) for n in range(6)]
    figure = figures.front_figure(read([write(tmp_path, trials)]))
    found = texts(figure)
    assert any(text.startswith("mean of 3 seeds") and "95 % t interval" in text for text in found)
    assert "test 96.7 ± 1.0 %" in found
    heights = [float(y) for line in figure.axes[0].lines for y in np.asarray(line.get_ydata(), dtype=float)]
    # t(0.975, 2) / sqrt(3) * 1 = 2.484 below and above the mean 97.0 of the first budget.
    assert any(abs(height - (97.0 - 2.484)) < 1e-3 for height in heights)


def joined(axes: Axes) -> list[list[tuple[float, float]]]:
    """The points of each thick line, which joins the selected networks."""
    lines = [points_of(line) for line in axes.lines if line.get_linewidth() > 2]
    return [line for line in lines if len(line) > 1]


SWEEPS = {"a curve": curve(3), "seeds": curve(1, (0, 1, 2)), "clouds": clouds(), "two budgets": curve(2, (0,), SIX[:2])}


@pytest.mark.parametrize("name", list(SWEEPS))
def test_one_line_joins_the_best_network_of_each_budget_from_the_smallest(tmp_path: Path, name: str) -> None:
    trials = SWEEPS[name]
    (line,) = joined(drawn(trials, tmp_path))
    ratios = sorted({trial.budget.target / 1e6 for trial in trials})
    assert [x for x, _ in line] == pytest.approx(ratios, rel=0.02)
    tops = [[t.subnet.top1_val or 0.0 for t in trials if t.subnet and t.budget.target == 1e6 * r] for r in ratios]
    best = [fmean(top) if name == "seeds" else max(top) for top in tops]
    assert [y for _, y in line] == pytest.approx(best)


@pytest.mark.parametrize("name", list(SWEEPS))
def test_no_line_stands_upright_in_the_axes(tmp_path: Path, name: str) -> None:
    axes = drawn(SWEEPS[name], tmp_path)
    window = axes.get_window_extent()
    for line in axes.lines:
        pixels = line.get_transform().transform(points_of(line))
        for (left, low), (right, high) in pairwise(pixels):
            inside = min(low, high) < window.y1 - 1
            assert not inside or abs(right - left) > 0.03 * window.width or abs(high - low) < 0.03 * window.height


def test_what_few_images_cannot_tell_apart_is_shaded_and_seeds_measure_it_instead(tmp_path: Path) -> None:
    label = "no measurable difference\n(95 %, 216 images)"
    assert label in texts(figure_of(drawn(clouds(), tmp_path / "clouds")))
    assert label not in texts(figure_of(drawn(curve(1, (0, 1, 2)), tmp_path / "seeds")))
    assert not any("measurable" in text for text in texts(figure_of(drawn([record(0)], tmp_path / "unknown"))))


def test_budgets_are_named_at_the_points_where_the_axis_is_another(tmp_path: Path) -> None:
    found = texts(figure_of(drawn(curve(1), tmp_path, x="params")))
    assert [text.partition(":")[0] for text in found if ":" in text] == [f"{ratio:g}" for ratio in SIX]


def test_letters_are_large_enough_for_a_slide(tmp_path: Path) -> None:
    """On a slide of 13.3 inches the figure is drawn 1.6 times as large: 10 points are 16."""
    axes = drawn(curve(3), tmp_path)
    legend = axes.get_legend()
    assert legend is not None
    written = [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels(), *legend.get_texts(), axes.xaxis.label]
    assert min(float(text.get_fontsize()) for text in written) >= 10
    box, canvas = legend.get_window_extent(), figure_of(axes).bbox
    assert (box.x0, box.y0) > (0, 0)
    assert box.x1 <= canvas.x1


def test_any_axes_can_carry_a_front_of_any_two_objectives(tmp_path: Path) -> None:
    results = read([write(tmp_path, [*cloud(9, [0.25, 0.5, 0.75]), failed(9, 0.5)])])
    figure = Figure(figsize=(12, 4))
    left, right = figure.subplots(1, 2)
    what = figures.front(results, left)
    figures.front(results, right, x="search_cost", y="params")
    assert what.front
    assert left.get_xlabel() == "MACs per image (millions)"
    assert right.get_xlabel() == "search and fine-tuning, wall time (s)"
    assert right.get_ylabel() == "parameters (thousands)"


def test_the_svg_keeps_its_text(tmp_path: Path) -> None:
    svg = figures.front_files(read([write(tmp_path, [record(0)])]))["front.svg"].decode()
    assert ">held-out top-1 (%)<" in svg


def test_without_a_finished_trial_the_figure_says_so(tmp_path: Path) -> None:
    assert "No finished trial" in texts(figures.front_figure(read([write(tmp_path / "a", [])])))
    assert "No finished trial" in texts(figures.front_figure(read([write(tmp_path / "b", [failed(0, dense=None)])])))


def test_dollars_and_long_questions_are_text_inside_the_figure(tmp_path: Path) -> None:
    results = read([write(tmp_path, [record(0)], question=r"$\frac{ IS IT " + "WORTH THE MONEY " * 30)])
    with mpl.rc_context(figures.STYLE):
        figure = figures.front_figure(results)
        figure.draw_without_rendering()
        title = figure.get_suptitle()
    assert title.startswith(r"$\frac{")
    assert title.count("\n") == 1
    assert figure.texts[0].get_window_extent().width <= figure.bbox.width


def test_collapsed_trials_do_not_set_the_scale_but_selected_ones_do(tmp_path: Path) -> None:
    trials = [*cloud(9, [0.5]), record(9, 0.5, 10.0), record(10, 0.12, 60.0)]
    results = read([write(tmp_path, trials)])
    what = front_data(results, objective("macs", results), objective("top1_val", results))
    assert [point.y for point in what.collapsed] == [10.0]
    assert 60.0 in [point.y for point in what.shown]


def preview_of(figure: Figure) -> tuple[list[float], list[float]] | None:
    """The x and y of the preview's line, None where there is none."""
    for line in figure.axes[0].lines:
        if str(line.get_label()).startswith("preview"):
            x, y = (np.asarray(each, dtype=float).tolist() for each in line.get_data())
            return x, y
    return None


def with_preview(folder: Path, top1: tuple[float, ...]) -> Path:
    """Trained trials at 97 to 98 %, and a preview at the same two budgets."""
    preview = [record(number, (0.5, 0.25)[number], each) for number, each in enumerate(top1)]
    write(folder / "preview", [each.model_copy(update={"subnet": untested(each)}) for each in preview])
    return write(folder, [record(0, 0.25, 97.0), record(1, 0.5, 98.0)])


def untested(trial: Record) -> Network:
    assert trial.subnet is not None
    return trial.subnet.model_copy(update={"top1_test": None})


def test_a_preview_is_a_line_from_its_smallest_subnet_to_its_largest(tmp_path: Path) -> None:
    figure = figures.front_figure(read([with_preview(tmp_path, (97.5, 96.0))]))
    assert "preview (no training)" in texts(figure)
    assert preview_of(figure) == ([0.24875, 0.4975], [96.0, 97.5])
    assert figure.axes[0].get_ylim()[0] < 96.0


def test_a_preview_far_below_does_not_flatten_the_trained_front(tmp_path: Path) -> None:
    plain = figures.front_figure(read([write(tmp_path / "a", [record(0, 0.25, 97.0), record(1, 0.5, 98.0)])]))
    low = figures.front_figure(read([with_preview(tmp_path / "b", (60.0, 20.0))]))
    assert low.axes[0].get_ylim() == plain.axes[0].get_ylim()
    assert "preview (no training), off the scale" in texts(low)
    partly = figures.front_figure(read([with_preview(tmp_path / "c", (97.5, 20.0))]))
    assert "preview (no training)" in texts(partly)
    assert partly.axes[0].get_ylim() == plain.axes[0].get_ylim()


def test_a_preview_has_no_line_where_nothing_was_measured_of_it(tmp_path: Path) -> None:
    results = read([with_preview(tmp_path, (97.5, 96.0))])
    assert preview_of(figures.front_figure(results, x="params")) is not None
    assert preview_of(figures.front_figure(results, y="top1_test")) is None
    assert preview_of(figures.front_figure(results, x="latency")) is None


def test_a_preview_is_drawn_before_a_trial_has_finished(tmp_path: Path) -> None:
    write(tmp_path / "preview", [record(0, 0.5, 60.0), record(1, 0.25, 20.0)])
    figure = figures.front_figure(read([write(tmp_path, [])]))
    assert "preview (no training)" in texts(figure)
    low, high = figure.axes[0].get_ylim()
    assert low < 20.0 < 60.0 < high
