"""Compensation is a regression on the units that stay, folded into the layer behind them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ofb_ray.calibration.compensation import compensate

UNITS, OUTPUTS, POSITIONS = 12, 5, 200


def inputs(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(UNITS, UNITS, generator=generator, dtype=torch.float64)
    return torch.randn(POSITIONS, UNITS, generator=generator, dtype=torch.float64) @ mixing + mixing[0]


def moment(x_NU: Tensor) -> Tensor:
    x_NG = torch.cat([x_NU, x_NU.new_ones(len(x_NU), 1)], dim=1)
    return x_NG.T @ x_NG / len(x_NG)


@pytest.mark.parametrize("bias", [True, False])
def test_units_that_are_combinations_of_others_cost_nothing(bias: bool) -> None:
    torch.manual_seed(0)
    x = inputs(0)
    kept = torch.tensor([0, 1, 2, 4, 7, 8, 9])
    cut = torch.tensor([3, 5, 6, 10, 11])
    x[:, cut] = x[:, kept] @ torch.randn(7, 5, dtype=torch.float64) + (
        torch.randn(5, dtype=torch.float64) if bias else 0
    )
    weight = torch.randn(OUTPUTS, UNITS, dtype=torch.float64)
    shift = torch.randn(OUTPUTS, dtype=torch.float64) if bias else None
    before = x @ weight.T + (shift if shift is not None else 0)
    new, constant = compensate(weight, shift, kept, moment(x))
    after = x[:, kept] @ new.T + (constant if constant is not None else 0)
    assert float((after - before).abs().max() / before.abs().max()) < 1e-5


@pytest.mark.parametrize("seed", range(5))
def test_it_never_raises_the_squared_error_of_the_output(seed: int) -> None:
    x = inputs(seed)
    weight = torch.randn(OUTPUTS, UNITS, dtype=torch.float64)
    shift = torch.randn(OUTPUTS, dtype=torch.float64)
    kept = torch.randperm(UNITS, generator=torch.Generator().manual_seed(seed))[:6].sort().values
    before = x @ weight.T + shift
    plain = x[:, kept] @ weight[:, kept].T + shift
    new, constant = compensate(weight, shift, kept, moment(x))
    assert constant is not None
    assert ((x[:, kept] @ new.T + constant - before) ** 2).mean() <= ((plain - before) ** 2).mean()


def test_nothing_cut_changes_nothing() -> None:
    weight, shift = torch.randn(OUTPUTS, UNITS), torch.randn(OUTPUTS)
    new, constant = compensate(weight, shift, torch.arange(UNITS), moment(inputs(0)))
    assert torch.equal(new, weight)
    assert constant is not None
    assert torch.equal(constant, shift)
