"""The losses: values by hand, and the ends where the released formulas break."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ofb_ray.method.losses import (
    adaptive_one_hot_loss,
    budget_loss,
    entropy,
    living,
    one_hot_degree,
    score_penalty,
    tangent_term,
)


def rows(*p: list[float]) -> Tensor:
    """Rows padded with zeros."""
    width = max(map(len, p))
    return torch.tensor([row + [0.0] * (width - len(row)) for row in p])


def test_entropy_at_the_ends() -> None:
    assert float(entropy(rows([0.25] * 4))) == pytest.approx(math.log(4))
    p = rows([1.0, 0.0, 0.0]).requires_grad_()
    value = entropy(p).sum()
    value.backward()  # type: ignore[no-untyped-call]
    assert float(value.detach()) == 0.0
    assert p.grad is not None
    assert p.grad.isfinite().all()


def test_one_hot_degree_is_zero_at_uniform_and_one_at_one_hot() -> None:
    p = rows([0.2] * 5, [0.0, 1.0 - 1e-7, 1e-7], [0.5, 0.4, 0.1])
    n = living(p)
    assert n.tolist() == [5, 2, 3]
    by_definition = ((0.5 - 1 / 3) ** 2 + (0.4 - 1 / 3) ** 2 + (0.1 - 1 / 3) ** 2) / (1 - 1 / 3)
    assert one_hot_degree(p, n).tolist() == pytest.approx([0.0, 1.0, by_definition], abs=1e-6)


@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.5, 0.9])
def test_tangent_equals_the_paper_inside_the_range(sigma: float) -> None:
    wanted = math.tan(math.pi / 2 - math.pi * sigma) / 3
    assert float(tangent_term(torch.tensor(sigma), torch.tensor(3.0), 0.05)) == pytest.approx(
        wanted, rel=1e-5, abs=1e-6
    )


@pytest.mark.parametrize("p", [[0.25] * 4, [1.0, 0, 0, 0], [1 - 3e-7, 1e-7, 1e-7, 1e-7]])
def test_tangent_is_bounded_with_finite_gradient_at_both_ends(p: list[float]) -> None:
    alpha = torch.tensor([p]).clamp_min(1e-9).log().requires_grad_()
    p_AN = alpha.softmax(1)
    term = tangent_term(one_hot_degree(p_AN, living(p_AN)), torch.tensor([4.0]), 0.05)
    term.sum().backward()  # type: ignore[no-untyped-call]
    assert abs(float(term.detach())) <= 1 / math.tan(math.pi * 0.05) / 4 + 1e-5
    assert alpha.grad is not None
    assert alpha.grad.isfinite().all()


def test_terms_are_switchable_and_add_up() -> None:
    p = rows([0.7, 0.2, 0.1], [0.6, 0.4])

    def loss(use_entropy: bool, use_variance: bool) -> Tensor:
        return adaptive_one_hot_loss(p, eps=0.05, use_entropy=use_entropy, use_variance=use_variance)

    torch.testing.assert_close(loss(True, True), loss(True, False) + loss(False, True))
    assert loss(False, False).tolist() == [0.0, 0.0]
    assert float(score_penalty(torch.tensor([0.5, 0.9]), 0.1)) == pytest.approx(0.14)


def test_axes_of_different_length_do_not_touch_each_other() -> None:
    together = adaptive_one_hot_loss(rows([0.7, 0.2, 0.1], [0.6, 0.4], [0.1] * 10), eps=0.05)
    alone = [float(adaptive_one_hot_loss(rows(p), eps=0.05)) for p in ([0.7, 0.2, 0.1], [0.6, 0.4], [0.1] * 10)]
    assert together.tolist() == pytest.approx(alone)


def test_descending_the_loss_makes_p_one_hot() -> None:
    torch.manual_seed(0)
    alpha = torch.rand(1, 7, requires_grad=True)
    optimizer = torch.optim.Adam([alpha], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        adaptive_one_hot_loss(alpha.softmax(1), eps=0.05).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(alpha.detach().softmax(1).max()) > 0.95


def test_budget_loss() -> None:
    assert float(budget_loss(torch.tensor(60.0), 50, 100)) == pytest.approx(0.01)
    assert float(budget_loss(torch.tensor(40.0), 50, 100)) == pytest.approx(0.01)
