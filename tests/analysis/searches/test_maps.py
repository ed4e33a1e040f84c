"""Score maps order units and choose axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.searches import maps
from analysis.searches.trace import AxisTrace, SearchTrace, read_trace
from ofb_ray.errors import InputError
from tests.analysis.factory import write_trace

NAN = float("nan")


def test_units_are_ordered_by_life_then_importance_and_heads_stay_together() -> None:
    score = np.array([[0.1, 0.9, 0.5, 0.4, 0.7, 0.8], [0.2, NAN, NAN, 0.4, 0.3, 0.8]])
    axis = AxisTrace("a", "attention", 2, 3, score, score, ((2, 3),), np.ones((2, 1)), None)
    assert maps.unit_order(axis).tolist() == [5, 3, 4, 0, 1, 2]
    assert maps.unit_order(axis, "index").tolist() == [0, 1, 2, 3, 4, 5]


def test_many_axes_are_thinned_and_wrong_names_refused(tmp_path: Path) -> None:
    write_trace(tmp_path)
    trace = read_trace(tmp_path)
    assert trace is not None
    axis = trace.axes["embed"]
    many = SearchTrace(trace.epoch, trace.lam, {f"blocks.{number}.mlp": axis for number in range(25)})
    assert len(maps.chosen(many)) == maps.MOST
    assert maps.chosen(trace, ["blocks.0.attn"]) == [trace.axes["blocks.0.attn"]]
    with pytest.raises(InputError, match="'embed'"):
        maps.chosen(trace, ["embd"])
    with pytest.raises(InputError, match="at most 10"):
        maps.chosen(many, list(many.axes))
