"""Schedules at their corners."""

from __future__ import annotations

import pytest

from ofb_ray.method.schedule import cosine_with_warmup, linear_then_constant


@pytest.mark.parametrize(("progress", "value"), [(0, 0.99), (0.1, 0.545), (0.2, 0.1), (0.7, 0.1), (1, 0.1)])
def test_lambda(progress: float, value: float) -> None:
    assert linear_then_constant(progress, 0.99, 0.1, 0.2) == pytest.approx(value)


def test_no_warmup_starts_at_the_end() -> None:
    assert linear_then_constant(0.0, 0.99, 0.1, 0.0) == 0.1
    assert cosine_with_warmup(0.0, 1.0, 0.1, 0.0) == 1.0


@pytest.mark.parametrize(("progress", "value"), [(0, 0.1), (0.05, 0.55), (0.1, 1.0), (0.55, 0.55), (1, 0.1)])
def test_learning_rate(progress: float, value: float) -> None:
    assert cosine_with_warmup(progress, 1.0, 0.1, 0.1) == pytest.approx(value)


def test_a_floor_above_the_peak_is_the_peak() -> None:
    assert cosine_with_warmup(0.0, 1e-6, 1e-5, 0.1) == 1e-6
