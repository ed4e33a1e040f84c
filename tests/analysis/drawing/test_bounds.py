"""Budgets stand along the axis, each with its mark, and their labels can be read."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation

from analysis.drawing.marks import RED
from ofb_ray.results.records import Record
from tests.analysis.curves import SIX, curve
from tests.analysis.drawing.drawn import drawn, figure_of, points_of, texts
from tests.analysis.factory import failed


@pytest.mark.parametrize(
    "ratios", [SIX, (0.08, 0.1, 0.101, 0.102, 0.5), (0.5,), tuple(0.1 + step / 40 for step in range(32))]
)
def test_the_labels_of_budgets_do_not_overlap_and_all_have_a_mark(tmp_path: Path, ratios: tuple[float, ...]) -> None:
    axes = drawn(curve(1, (0,), ratios), tmp_path)
    renderer = FigureCanvasAgg(figure_of(axes)).get_renderer()  # type: ignore[no-untyped-call]
    boxes = [text.get_window_extent(renderer) for text in axes.texts if not isinstance(text, Annotation)]
    assert boxes
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    marks = [points_of(line) for line in axes.lines if not line.get_clip_on()]
    assert sorted(points[0][0] for points in marks if points) == pytest.approx(sorted(ratios), rel=1e-5)
    top = axes.get_window_extent().y1
    assert all(box.y0 > top for box in boxes)


def test_a_budget_without_a_network_is_marked_so(tmp_path: Path) -> None:
    axes = drawn([*curve(2, (0,), SIX[:3]), failed(90, 0.08), failed(91, 0.2)], tmp_path)
    assert {text.get_text() for text in axes.texts if text.get_color() == RED} == {"0.08", "0.2"}
    assert {"budget without a network", "not reachable"} <= set(texts(figure_of(axes)))
    assert "budget without a network" not in texts(figure_of(drawn(curve(1), tmp_path / "all")))


def test_a_unit_that_all_budgets_share_is_said_once(tmp_path: Path) -> None:
    def relabelled(labels: list[str]) -> list[Record]:
        made = curve(1, (0,), SIX[:2])
        return [
            each.model_copy(update={"budget": each.budget.model_copy(update={"label": label})})
            for each, label in zip(made, labels, strict=True)
        ]

    same = texts(figure_of(drawn(relabelled(["1.5 GMACs", "1.2 GMACs"]), tmp_path / "a")))
    assert {"1.5", "1.2", "budget (GMACs)"} <= set(same)
    mixed = texts(figure_of(drawn(relabelled(["1.5 GMACs", "0.6"]), tmp_path / "b")))
    assert {"1.5 GMACs", "0.6", "budget"} <= set(mixed)
