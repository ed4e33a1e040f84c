"""The weight of the budget loss."""

from __future__ import annotations

import pytest

from ofb_ray.search.budget_weight import BudgetWeight


def test_budget_weight_grows_while_it_misses_and_falls_back() -> None:
    weight = BudgetWeight(5.0, 5.0, 60)
    for _ in range(30):
        weight.steer(0.2)
    assert weight.value == pytest.approx(5000.0)
    weight.steer(-0.2)
    assert weight.value == 5000.0
    for _ in range(200):
        weight.steer(0.005)
    assert weight.value == 5.0
