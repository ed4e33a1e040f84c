"""The losses: values by hand, and the ends where the released formulas break."""

from __future__ import annotations

import math

import pytest
import torch

from ofb_ray.method.losses import adaptive_one_hot_loss, budget_loss, entropy, one_hot_degree, tangent_term


def test_entropy_at_the_ends() -> None:
    assert float(entropy(torch.full((4,), 0.25))) == pytest.approx(math.log(4))
    p = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)
    value = entropy(p)
    value.backward()  # type: ignore[no-untyped-call]
    assert float(value.detach()) == 0.0
    assert p.grad is not None
    assert p.grad.isfinite().all()


def test_one_hot_degree_is_zero_at_uniform_and_one_at_one_hot() -> None:
    assert float(one_hot_degree(torch.full((5,), 0.2))) == pytest.approx(0.0, abs=1e-7)
    assert float(one_hot_degree(torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0]))) == pytest.approx(1.0)
    assert float(one_hot_degree(torch.tensor([0.5, 0.5, 0.0]))) == pytest.approx((2 / 36 + 4 / 36) / (2 / 3))


@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.5, 0.9])
def test_tangent_equals_the_paper_inside_the_range(sigma: float) -> None:
    wanted = math.tan(math.pi / 2 - math.pi * sigma) / 3
    assert float(tangent_term(torch.tensor(sigma), 3, 0.05)) == pytest.approx(wanted, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("p", [[0.25] * 4, [1.0, 0, 0, 0], [1 - 3e-7, 1e-7, 1e-7, 1e-7]])
def test_tangent_is_bounded_with_finite_gradient_at_both_ends(p: list[float]) -> None:
    alpha = torch.tensor(p).clamp_min(1e-9).log().requires_grad_()
    term = tangent_term(one_hot_degree(alpha.softmax(0)), 4, 0.05)
    term.backward()  # type: ignore[no-untyped-call]
    assert abs(float(term.detach())) <= 1 / math.tan(math.pi * 0.05) / 4 + 1e-5
    assert alpha.grad is not None
    assert alpha.grad.isfinite().all()


def test_terms_are_switchable_and_add_up() -> None:
    p, importance = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.5, 0.9])

    def loss(eta: float, use_entropy: bool, use_variance: bool) -> float:
        return float(
            adaptive_one_hot_loss(p, importance, eta=eta, eps=0.05, use_entropy=use_entropy, use_variance=use_variance)
        )

    entropy_only, variance_only, penalty_only = loss(0, True, False), loss(0, False, True), loss(0.1, False, False)
    assert penalty_only == pytest.approx(0.14)
    assert loss(0.1, True, True) == pytest.approx(entropy_only + variance_only + penalty_only)
    assert loss(0, False, False) == 0.0


def test_a_decided_axis_costs_nothing() -> None:
    assert float(adaptive_one_hot_loss(torch.ones(1), torch.ones(3), eta=1.0, eps=0.05)) == 0.0


def test_descending_the_loss_makes_p_one_hot() -> None:
    torch.manual_seed(0)
    alpha = torch.rand(7, requires_grad=True)
    optimizer = torch.optim.Adam([alpha], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        adaptive_one_hot_loss(alpha.softmax(0), torch.zeros(1), eta=0.0, eps=0.05).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(alpha.softmax(0).max()) > 0.95


def test_budget_loss() -> None:
    assert float(budget_loss(torch.tensor(60.0), 50, 100)) == pytest.approx(0.01)
    assert float(budget_loss(torch.tensor(40.0), 50, 100)) == pytest.approx(0.01)
