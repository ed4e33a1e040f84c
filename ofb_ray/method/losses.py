"""The search's own losses: adaptive one-hot, budget, score penalty (equations: README, "symbol -> function").

Shape suffixes: A axes, N candidates of the axis that has most. Rows are padded with zeros, as dead candidates are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def living(p_AN: Tensor) -> Tensor:
    """Count the candidates that still have a probability, n (A,)."""
    return (p_AN.detach() > 0).sum(dim=1).to(p_AN.dtype)


def one_hot_degree(p_AN: Tensor, n_A: Tensor) -> Tensor:
    """sigma = sum (p - 1/n)^2 / (1 - 1/n) over the n > 1 living candidates: 0 at uniform p, 1 at one-hot p.

    Computed as (sum p^2 - 1/n) / (1 - 1/n), which is the same because p sums to 1, and in which zeros do not count.
    """
    return ((p_AN**2).sum(dim=1) - 1 / n_A) / (1 - 1 / n_A)


def entropy(p_AN: Tensor) -> Tensor:
    """-sum p log p (A,), with 0 log 0 = 0 and finite gradients there."""
    plogp_AN: Tensor = torch.special.xlogy(p_AN, p_AN.clamp_min(torch.finfo(p_AN.dtype).tiny))
    return -plogp_AN.sum(dim=1)


def tangent_term(sigma_A: Tensor, n_A: Tensor, eps: float) -> Tensor:
    """(1/n) tan(pi/2 - pi sigma) = (1/n) cot(pi sigma) (A,), with sigma clamped to [eps, 1 - eps].

    The released formula is +inf at sigma = 0 and unbounded below as sigma -> 1. Clamped, the value stays in
    +-cot(pi eps) / n (+-6.3 / n at eps = 0.05) and the gradient is 0 outside the range: at a uniform start the
    entropy, the task and the budget decide, and what is one-hot is left alone.
    """
    angle_A = math.pi * sigma_A.clamp(eps, 1 - eps)
    return angle_A.cos() / angle_A.sin() / n_A


def adaptive_one_hot_loss(p_AN: Tensor, *, eps: float, use_entropy: bool = True, use_variance: bool = True) -> Tensor:
    """-sum p log p + (1/n) tan(pi/2 - pi sigma) of every axis (A,); the score penalty is a term of its own.

    Args:
        p_AN: probabilities, more than one above zero in each row, each row summing to 1.
        eps: distance from the tangent's poles.
        use_entropy: switches the first term on.
        use_variance: switches the second term on.
    """
    n_A = living(p_AN)
    loss_A = torch.zeros_like(n_A)
    if use_entropy:
        loss_A = loss_A + entropy(p_AN)
    if use_variance:
        loss_A = loss_A + tangent_term(one_hot_degree(p_AN, n_A), n_A, eps)
    return loss_A


def score_penalty(importance_U: Tensor, eta: float) -> Tensor:
    """Compute eta sum S: an unused unit's importance fades."""
    return eta * importance_U.sum()


def budget_loss(cost: Tensor, target: float, dense: float) -> Tensor:
    """Compute ((F(p) - F_target) / F_dense)^2.

    Args:
        cost: expected cost F(p), a scalar in MACs or parameters.
        target: F_target in the unit of `cost`.
        dense: F_dense, the dense network's cost, in the unit of `cost`.
    """
    return ((cost - target) / dense) ** 2
