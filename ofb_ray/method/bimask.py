"""Importance, sparsity and their bi-mask (equations: README, "symbol -> function").

Shape suffixes: H heads, D channels per head, U = H x D units, I head choices, J width choices.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ofb_ray.method.axis import Axis, rank_units

MaskMode = Literal["both", "importance", "sparsity"]


def importance(score_U: Tensor) -> Tensor:
    """Compute S = sigmoid(s)."""
    return score_U.sigmoid()


def probabilities(alpha_IJ: Tensor, alive_IJ: Tensor) -> Tensor:
    """Compute p = softmax of alpha over the living candidates; dead ones get exactly 0.

    Args:
        alpha_IJ: logits.
        alive_IJ: bool, at least one True.
    """
    masked = alpha_IJ.masked_fill(~alive_IJ, -torch.inf)
    return masked.flatten().softmax(dim=0).view_as(alpha_IJ)


def staircase(p_IJ: Tensor, head_steps_IH: Tensor, width_steps_JD: Tensor) -> Tensor:
    """Compute V_hd = sum_ij p_ij 1[h < n_i] 1[d < c_j] over ranks h, d: from 1 down to the weight of the largest size.

    Args:
        p_IJ: probability of n_i heads of c_j channels.
        head_steps_IH: 1[h < n_i] as floats.
        width_steps_JD: 1[d < c_j] as floats.
    Returns:
        (H, D), indexed by rank; with a dimension of axes in front where the arguments have one.
    """
    return head_steps_IH.mT @ p_IJ @ width_steps_JD


def bimask(importance_U: Tensor, sparsity_U: Tensor, lam: float, mode: MaskMode = "both") -> Tensor:
    """Mix m = lambda S + (1 - lambda) V; the ablations keep one of the two.

    Args:
        importance_U: S in [0, 1].
        sparsity_U: V in [0, 1].
        lam: lambda in [0, 1].
        mode: `importance` and `sparsity` keep one of the two.
    """
    if mode == "importance":
        return importance_U
    if mode == "sparsity":
        return sparsity_U
    return lam * importance_U + (1 - lam) * sparsity_U


class BiMask(nn.Module):
    """An undecided axis: scores, alpha and the living candidates, all of it in `state_dict()`.

    Args:
        axis: its description at the current size.
    """

    alive_IJ: Tensor
    head_steps_IH: Tensor
    width_steps_JD: Tensor

    def __init__(self, axis: Axis) -> None:
        """Draw the released code's start: s ~ truncated normal(std 0.2), alpha ~ U[0, 1)."""
        super().__init__()
        size = axis.size
        self.axis = axis
        self.score_U = nn.Parameter(nn.init.trunc_normal_(torch.empty(size.units), std=0.2))
        self.alpha_IJ = nn.Parameter(torch.rand(len(axis.head_choices), len(axis.width_choices)))
        self.register_buffer("alive_IJ", torch.tensor(axis.distinct).view_as(self.alpha_IJ))
        self.register_buffer("head_steps_IH", steps(axis.head_choices), persistent=False)
        self.register_buffer("width_steps_JD", steps(axis.width_choices), persistent=False)

    def probabilities(self) -> Tensor:
        """p (I, J)."""
        return probabilities(self.alpha_IJ, self.alive_IJ)

    def forward(self, p_IJ: Tensor, lam: float, mode: MaskMode = "both") -> Tensor:
        """Compute the mask m of every unit (U,), in the order of the units (not by rank).

        Args:
            p_IJ: probabilities of the candidates.
            lam: lambda in [0, 1].
            mode: which parts of the bi-mask to use.
        """
        head_rank_H, channel_rank_HD = rank_units(self.score_U, self.axis.size)
        by_rank_HD = staircase(p_IJ, self.head_steps_IH, self.width_steps_JD)
        sparsity_U = by_rank_HD[head_rank_H[:, None], channel_rank_HD].flatten()
        return bimask(importance(self.score_U), sparsity_U, lam, mode)


class Gate(nn.Module):
    """A decided axis: one free gate per surviving unit, folded into the weights by `Supernet.fuse`.

    Args:
        axis: its description at the decided size.
        gate_U: initial gates, (units,).
    """

    def __init__(self, axis: Axis, gate_U: Tensor) -> None:
        super().__init__()
        self.axis = axis
        self.gate_U = nn.Parameter(gate_U.detach().clone())


def steps(choices: tuple[int, ...]) -> Tensor:
    """1[rank < choice] as floats, (choices, ranks)."""
    return (torch.arange(choices[-1]) < torch.tensor(choices)[:, None]).float()
