"""PMIM: progressive masked image modelling beside the search (SimMIM style).

Shape suffixes: B images, C channels, N patches, E embedding, P patch side.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def token_mask(images: int, patches: int, share: float, device: torch.device) -> Tensor:
    """A random set of patches per image, (B, N) bool; True = masked.

    The count is share x N rounded at random up or down, so that its mean is exact where N is small.
    """
    wanted = share * patches + torch.rand(images, 1, device=device)
    order = torch.rand(images, patches, device=device).argsort(dim=1).argsort(dim=1)
    return order < wanted.floor()


def replace_tokens(tokens: Tensor, mask_BN: Tensor, mask_token_E: Tensor) -> Tensor:
    """Put the mask token where the mask is True; tokens are (B, N, E) or (B, h, w, E), before any position is added."""
    mask = mask_BN.view(*tokens.shape[:-1], 1)
    return torch.where(mask, mask_token_E.to(tokens.dtype), tokens)


def local_pixel_target(image: Tensor, window: int = 47) -> Tensor:
    """The image normalised by mean and variance of its window x window neighbourhood (odd), edges not padded in.

    A box mean is the mean of row means, so two one-dimensional passes give the same result.
    """
    mean = _box_mean(image, window)
    # The released code's unbiased estimate needs the number of pixels seen; near an edge that is fewer.
    count = _box_count(image, window)
    variance = (_box_mean(image**2, window) - mean**2).clamp_min(0) * (count / (count - 1).clamp_min(1))
    return (image - mean) / (variance + 1e-6).sqrt()


def reconstruction_loss(prediction: Tensor, image: Tensor, mask_BN: Tensor, grid: tuple[int, int]) -> Tensor:
    """Masked L1 per pixel and channel against `local_pixel_target`; 0 where nothing is masked.

    Args:
        prediction, image: (B, C, height, width); mask_BN: N = grid[0] x grid[1] patches, row by row.
    """
    mask = mask_BN.view(-1, 1, *grid).to(prediction.dtype)
    mask = F.interpolate(mask, size=image.shape[-2:], mode="nearest")
    error = (local_pixel_target(image) - prediction).abs() * mask
    return error.sum() / (mask.sum() * image.shape[1]).clamp_min(1)


def balanced_weight(task_loss: Tensor, reconstruction: Tensor) -> Tensor:
    """w = stop_gradient(L_cls / L_rec): the two losses weigh the same; 0 where there is nothing to reconstruct."""
    ratio = task_loss.detach() / reconstruction.detach().clamp_min(1e-12)
    return torch.where(reconstruction.detach() > 0, ratio, torch.zeros_like(ratio))


def _box_mean(image: Tensor, window: int) -> Tensor:
    half = window // 2
    rows = F.avg_pool2d(image, (window, 1), stride=1, padding=(half, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, window), stride=1, padding=(0, half), count_include_pad=False)


def _box_count(image: Tensor, window: int) -> Tensor:
    """Pixels inside the window, (height, width)."""
    half = window // 2

    def along(length: int) -> Tensor:
        place = torch.arange(length, device=image.device, dtype=image.dtype)
        return (place + half).clamp_max(length - 1) - (place - half).clamp_min(0) + 1

    return along(image.shape[-2])[:, None] * along(image.shape[-1])
