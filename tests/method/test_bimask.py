"""Importance, sparsity and bi-mask against their definitions."""

from __future__ import annotations

import pytest
import torch

from ofb_ray.method.axis import Axis, Width, keep_best, rank_units
from ofb_ray.method.bimask import BiMask, bimask, probabilities

AXIS = Axis("a", "attention", (1, 2, 3), (2, 4), Width(3, 4))


def mask(seed: int = 0) -> BiMask:
    torch.manual_seed(seed)
    made = BiMask(AXIS)
    with torch.no_grad():
        made.score_U.copy_(torch.randn(12))
        made.alpha_IJ.copy_(torch.randn(3, 2))
    return made


def test_sparsity_equals_the_double_sum() -> None:
    made = mask()
    p = made.probabilities().detach()
    head_rank, channel_rank = rank_units(made.score_U, AXIS.size)
    got = made(p, 0.0).detach().view(3, 4)
    for h in range(3):
        for d in range(4):
            wanted = sum(
                p[i, j]
                for i, n in enumerate(AXIS.head_choices)
                for j, c in enumerate(AXIS.width_choices)
                if head_rank[h] < n and channel_rank[h, d] < c
            )
            assert got[h, d].item() == pytest.approx(float(wanted), abs=1e-6)


def test_heads_are_ranked_by_the_sum_of_importance_and_channels_by_score() -> None:
    score = torch.tensor([0.0, 1, 2, 3, 9, 9, -9, -9, 1, 1, 1, 1])
    heads, channels = rank_units(score, Width(3, 4))
    # Sums of sigmoid: 3.06, 2.00, 2.92: a single large score does not carry its head.
    assert heads.tolist() == [0, 2, 1]
    assert channels[0].tolist() == [3, 2, 1, 0]
    assert channels[1].tolist() == [0, 1, 2, 3]  # ties keep the order of the units


def test_keep_best_keeps_as_many_channels_in_every_head() -> None:
    keep = keep_best(torch.tensor([0.0, 1, 2, 3, 9, 9, -9, -9, 1, 1, 1, 1]), Width(3, 4), Width(2, 2))
    assert keep.heads_H.tolist() == [0, 2]
    assert keep.units_U.tolist() == [2, 3, 8, 9]


def test_bimask_mixes_and_its_ablations_keep_one() -> None:
    importance, sparsity = torch.tensor([0.2, 0.8]), torch.tensor([1.0, 0.5])
    assert bimask(importance, sparsity, 0.25).tolist() == pytest.approx([0.8, 0.575])
    assert bimask(importance, sparsity, 0.25, "importance").tolist() == importance.tolist()
    assert bimask(importance, sparsity, 0.25, "sparsity").tolist() == sparsity.tolist()


def test_dead_candidates_have_no_probability() -> None:
    alive = torch.tensor([[True, False], [True, True], [False, False]])
    p = probabilities(torch.zeros(3, 2), alive)
    assert p[~alive].tolist() == [0.0, 0.0, 0.0]
    assert p[alive].tolist() == pytest.approx([1 / 3] * 3)


def test_the_mask_has_gradients_to_scores_and_alphas() -> None:
    made = mask()
    made(made.probabilities(), 0.5)[:6].sum().backward()
    assert made.score_U.grad is not None
    assert made.score_U.grad.abs().sum() > 0
    assert made.alpha_IJ.grad is not None
    assert made.alpha_IJ.grad.abs().sum() > 0


def test_state_dict_holds_everything() -> None:
    one, two = mask(1), mask(2)
    one.alive_IJ[0, 0] = False
    two.load_state_dict(one.state_dict())
    assert torch.equal(two(two.probabilities(), 0.3), one(one.probabilities(), 0.3))
