"""The search's own losses: adaptive one-hot, budget, score penalty (equations: README, "symbol -> function")."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def one_hot_degree(p_n: Tensor) -> Tensor:
    """sigma = sum (p - 1/n)^2 / (1 - 1/n) over the n living candidates: 0 at uniform p, 1 at one-hot p. n > 1."""
    n = p_n.numel()
    return ((p_n - 1 / n) ** 2).sum() / (1 - 1 / n)


def entropy(p_n: Tensor) -> Tensor:
    """-sum p log p, with 0 log 0 = 0 and finite gradients there."""
    plogp_n: Tensor = torch.special.xlogy(p_n, p_n.clamp_min(torch.finfo(p_n.dtype).tiny))
    return -plogp_n.sum()


def tangent_term(sigma: Tensor, n: int, eps: float) -> Tensor:
    """(1/n) tan(pi/2 - pi sigma) = (1/n) cot(pi sigma), with sigma clamped to [eps, 1 - eps].

    The released formula is +inf at sigma = 0 and unbounded below as sigma -> 1. Clamped, the value stays in
    +-cot(pi eps) / n (+-6.3 / n at eps = 0.05) and the gradient is 0 outside the range: at a uniform start the
    entropy, the task and the budget decide, and what is one-hot is left alone.
    """
    return torch.cos(math.pi * (clamped := sigma.clamp(eps, 1 - eps))) / torch.sin(math.pi * clamped) / n


def adaptive_one_hot_loss(
    p_n: Tensor, importance_U: Tensor, *, eta: float, eps: float, use_entropy: bool = True, use_variance: bool = True
) -> Tensor:
    """L = -sum p log p + (1/n) tan(pi/2 - pi sigma) + eta sum S; 0 once a single candidate is left.

    Args:
        p_n: probabilities of the living candidates, summing to 1.
        importance_U: S of the axis' units.
        eta: weight of the score penalty; 0 switches it off.
        eps: distance from the tangent's poles.
    """
    n = p_n.numel()
    loss = p_n.new_zeros(())
    if n < 2:
        return loss
    if use_entropy:
        loss = loss + entropy(p_n)
    if use_variance:
        loss = loss + tangent_term(one_hot_degree(p_n), n, eps)
    if eta:
        loss = loss + score_penalty(importance_U, eta)
    return loss


def score_penalty(importance_U: Tensor, eta: float) -> Tensor:
    """eta sum S: an unused unit's importance fades."""
    return eta * importance_U.sum()


def budget_loss(cost: Tensor, target: float, dense: float) -> Tensor:
    """((F(p) - F_target) / F_dense)^2 for the expected cost F(p), in MACs or parameters like the other two."""
    return ((cost - target) / dense) ** 2
