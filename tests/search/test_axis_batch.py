"""What is computed for many axes at once is what each alone gives."""

from __future__ import annotations

import pytest
import torch

from ofb_ray.method.axis import Axis, Width
from ofb_ray.method.bimask import BiMask, MaskMode
from ofb_ray.search.axis_batch import AxisBatch, Probabilities, batched

AXES = (
    Axis("embed", "embedding", (1,), (4, 6, 8), Width(1, 8)),
    Axis("gone", "attention", (0, 1, 2, 3), (2, 4), Width(3, 4)),
    Axis("attn", "attention", (2, 4), (1, 2, 3), Width(4, 3)),
    Axis("mlp", "mlp", (0, 1), (3, 5, 7, 12), Width(1, 12)),
)


def masks(seed: int = 0) -> list[BiMask]:
    torch.manual_seed(seed)
    made = [BiMask(axis) for axis in AXES]
    with torch.no_grad():
        for mask in made:
            mask.score_U.copy_(torch.randn(mask.score_U.shape).round(decimals=1))  # with ties
            mask.alpha_IJ.copy_(torch.randn(mask.alpha_IJ.shape))
        made[2].alive_IJ[0, 1] = False
    return made


@pytest.mark.parametrize("mode", ["both", "importance", "sparsity"])
def test_a_batch_equals_its_axes(mode: MaskMode) -> None:
    alone, together = masks(), masks()
    batch = AxisBatch(AXES)
    p_AIJ = batch.probabilities(together)
    p = Probabilities([batch], [p_AIJ])
    found = torch.split(batch.unit_masks(together, p_AIJ, 0.3, mode), batch.unit_counts)
    weights = [torch.randn(len(mask_U)) for mask_U in found]
    for axis, mask, mask_U, weight in zip(AXES, alone, found, weights, strict=True):
        wanted_IJ = mask.probabilities()
        torch.testing.assert_close(p[axis.name], wanted_IJ)
        assert torch.equal(p[axis.name] == 0, wanted_IJ == 0)
        wanted_U = mask(wanted_IJ, 0.3, mode)
        torch.testing.assert_close(mask_U, wanted_U)
        (wanted_U @ weight).backward()
    torch.autograd.backward([mask_U @ weight for mask_U, weight in zip(found, weights, strict=True)])
    for one, other in zip(alone, together, strict=True):
        for name, param in one.named_parameters():
            torch.testing.assert_close(param.grad, dict(other.named_parameters())[name].grad)


def test_expected_sizes_are_means_over_candidates() -> None:
    made, batch = masks(), AxisBatch(AXES)
    p_AIJ = batch.probabilities(made).detach()
    units_A, heads_A = batch.expected_sizes(p_AIJ)
    p = Probabilities([batch], [p_AIJ])
    for place, axis in enumerate(AXES):
        share = p[axis.name].flatten().tolist()
        assert float(units_A[place]) == pytest.approx(
            sum(each * size.units for each, size in zip(share, axis.candidates, strict=True)), rel=1e-6
        )
        assert float(heads_A[place]) == pytest.approx(
            sum(each * size.heads for each, size in zip(share, axis.candidates, strict=True)), rel=1e-6
        )


def test_axes_of_one_head_and_of_several_are_apart() -> None:
    assert [[axis.name for axis in batch.axes] for batch in batched(AXES)] == [["embed", "mlp"], ["gone", "attn"]]
    assert batched(()) == []
