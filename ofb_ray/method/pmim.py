"""PMIM: progressive masked image modelling beside the search (SimMIM style).

Shape suffixes: B images, C channels, N patches, E embedding, P patch side.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def token_mask(images: int, patches: int, share: float, generator: torch.Generator) -> Tensor:
    """Draw a random set of patches per image, (B, N) bool; True = masked.

    The count is share x N rounded at random up or down, so that its mean is exact where N is small.

    Args:
        images: B.
        patches: N.
        share: masked share in [0, 1].
        generator: of the device that the mask is drawn on.
    """
    device = generator.device
    wanted = share * patches + torch.rand(images, 1, generator=generator, device=device)
    order = torch.rand(images, patches, generator=generator, device=device).argsort(dim=1).argsort(dim=1)
    return order < wanted.floor()


def replace_tokens(tokens: Tensor, mask_BN: Tensor, mask_token_E: Tensor) -> Tensor:
    """Put the mask token where the mask is True; tokens are (B, N, E) or (B, h, w, E), before any position is added."""
    mask = mask_BN.view(*tokens.shape[:-1], 1)
    return torch.where(mask, mask_token_E.to(tokens.dtype), tokens)


def local_pixel_target(image: Tensor, window: int = 47) -> Tensor:
    """Normalise the image by mean and variance of its neighbourhood, which is cut off at the edges.

    A box mean is one banded matrix product along each side: several times faster than pooling with so large a window.

    Args:
        image: (B, C, height, width).
        window: side of the neighbourhood in pixels, odd.
    """
    rows_hh = _window_mean(image.shape[-2], window, image)
    columns_ww = _window_mean(image.shape[-1], window, image).T
    mean = rows_hh @ image @ columns_ww
    # The released code's unbiased estimate needs the number of pixels seen; near an edge that is fewer.
    count = 1 / (rows_hh.amax(dim=1)[:, None] * columns_ww.amax(dim=0))
    variance = (rows_hh @ image**2 @ columns_ww - mean**2).clamp_min(0) * (count / (count - 1).clamp_min(1))
    return (image - mean) / (variance + 1e-6).sqrt()


def reconstruction_loss(
    prediction: Tensor, image: Tensor, mask_BN: Tensor, grid: tuple[int, int], masked: Tensor | None = None
) -> Tensor:
    """Masked L1 per pixel and channel against `local_pixel_target`; 0 where nothing is masked.

    Args:
        prediction: (B, C, height, width).
        image: (B, C, height, width).
        mask_BN: True = masked; N = grid[0] x grid[1] patches, row by row.
        grid: patches along height and width.
        masked: the number of masked patches to divide by, of a part of a batch whose parts are to add up; by default
            those of `mask_BN`.
    """
    mask = mask_BN.view(-1, 1, *grid).to(prediction.dtype)
    mask = F.interpolate(mask, size=image.shape[-2:], mode="nearest")
    error = (local_pixel_target(image) - prediction).abs() * mask
    pixels = image[0].numel() / mask_BN.shape[1]
    return error.sum() / ((mask_BN.sum() if masked is None else masked) * pixels).clamp_min(1)


def balanced_weight(task_loss: Tensor, reconstruction: Tensor) -> Tensor:
    """Compute w = stop_gradient(L_cls / L_rec), which makes both losses weigh the same; 0 where L_rec is 0."""
    ratio = task_loss.detach() / reconstruction.detach().clamp_min(1e-12)
    return torch.where(reconstruction.detach() > 0, ratio, torch.zeros_like(ratio))


def _window_mean(side: int, window: int, like: Tensor) -> Tensor:
    """(side, side): row i averages over the pixels within window // 2 of i."""
    place = torch.arange(side, device=like.device)
    near = ((place[:, None] - place).abs() <= window // 2).to(like.dtype)
    return near / near.sum(dim=1, keepdim=True)
