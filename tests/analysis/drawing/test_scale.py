"""Axes hold all values, on a scale that shows them."""

from __future__ import annotations

from analysis.drawing.scale import accuracy_limits, size_limits, unit_of


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
