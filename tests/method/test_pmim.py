"""Masked image modelling: shares, tokens, and the local target against brute force."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ofb_ray.method.pmim import balanced_weight, local_pixel_target, reconstruction_loss, replace_tokens, token_mask


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5])
def test_the_masked_share_is_exact_on_average(share: float) -> None:
    torch.manual_seed(0)
    mask = token_mask(4000, 9, share, torch.Generator().manual_seed(0))
    assert float(mask.float().mean()) == pytest.approx(share, abs=0.005)
    counts = mask.sum(dim=1)
    assert int(counts.max() - counts.min()) <= 1
    assert float(mask.float().mean(dim=0).std()) < 0.02  # no patch is preferred


def test_tokens_are_replaced_where_the_mask_is_true() -> None:
    tokens, token = torch.randn(2, 3, 4), torch.full((4,), 7.0)
    mask = torch.tensor([[True, False, False], [False, False, True]])
    got = replace_tokens(tokens, mask, token)
    assert (got[mask] == 7).all()
    assert torch.equal(got[~mask], tokens[~mask])


def test_local_target_equals_brute_force() -> None:
    torch.manual_seed(0)
    image = torch.randn(2, 3, 20, 26, dtype=torch.float64) * 3 + 1
    window = 9
    patches = F.unfold(F.pad(image, (4,) * 4), window).view(2, 3, window**2, 20, 26)
    inside = F.unfold(F.pad(torch.ones_like(image), (4,) * 4), window).view(2, 3, window**2, 20, 26)
    count = inside.sum(dim=2)
    mean = patches.sum(dim=2) / count
    variance = ((patches - mean[:, :, None]) ** 2 * inside).sum(dim=2) / (count - 1)
    wanted = (image - mean) / (variance + 1e-6).sqrt()
    torch.testing.assert_close(local_pixel_target(image, window), wanted)


def test_reconstruction_counts_masked_pixels_only() -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 2, 4, 4)
    target = local_pixel_target(image)
    mask = torch.tensor([[False, True, False, False]])  # the upper right patch of a 2 x 2 grid
    wrong = target.clone()
    wrong[:, :, :2, 2:] += 0.5
    wrong[:, :, 2:, :] += 9
    assert float(reconstruction_loss(wrong, image, mask, (2, 2))) == pytest.approx(0.5, rel=1e-5)
    assert float(reconstruction_loss(wrong, image, torch.zeros_like(mask), (2, 2))) == 0.0


def test_balanced_weight_makes_both_losses_equal_and_has_no_gradient() -> None:
    task, reconstruction = torch.tensor(2.0, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    weight = balanced_weight(task, reconstruction)
    assert float(weight) == pytest.approx(4.0)
    assert not weight.requires_grad
    assert float(balanced_weight(task, torch.tensor(0.0))) == 0.0
