"""Shift and mirror images on the device, drawn for a whole step at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ofb_ray.data.base import Part


class Shifts:
    """Shifts images by up to an eighth of their side and mirrors them, drawn for a whole step at once.

    A worker's images therefore do not depend on the number of workers.

    Args:
        seed: of the pass.
        side: of the images, in pixels.
    """

    def __init__(self, seed: int, side: int) -> None:
        self._generator = torch.Generator().manual_seed(seed + 1)
        self._pad, self._step = max(1, side // 8), -1
        self._draws: tuple[Tensor, ...] = ()

    def __call__(self, images: Tensor, part: Part, kept: Tensor | None = None) -> Tensor:
        """Shift and mirror images.

        Args:
            images: (B, C, side, side).
            part: that they belong to.
            kept: (B,) their indices in the part; None: all of it.
        """
        while self._step < part.step:
            self._step += 1
            self._draws = self._draw(part.total)
        own = slice(part.first, part.first + len(part.indices))
        draws = [draw[own] if kept is None else draw[own][kept] for draw in self._draws]
        return crop_and_flip(images, self._pad, *draws)

    def _draw(self, count: int) -> tuple[Tensor, ...]:
        top = torch.randint(0, 2 * self._pad + 1, (count, 1, 1), generator=self._generator)
        left = torch.randint(0, 2 * self._pad + 1, (count, 1, 1), generator=self._generator)
        return top, left, torch.rand(count, 1, 1, generator=self._generator) < 0.5


def crop_and_flip(images: Tensor, pad: int, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Shift each image inside a frame of zeros, and mirror some.

    Args:
        images: (B, C, height, width).
        pad: width of the frame, in pixels.
        top: (B, 1, 1) int64 in [0, 2 pad], where the crop starts.
        left: likewise.
        flip: (B, 1, 1) bool, which are mirrored.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (pad,) * 4)
    rows = top + torch.arange(height)[None, :, None]
    columns = torch.arange(width)[None, None, :]
    columns = left + torch.where(flip, width - 1 - columns, columns)
    picture = torch.arange(count)[:, None, None]
    # Advanced indices around a slice put the channels last.
    return padded[picture.to(images.device), :, rows.to(images.device), columns.to(images.device)].permute(0, 3, 1, 2)
