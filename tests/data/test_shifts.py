"""Shifts and mirrors."""

from __future__ import annotations

import torch

from ofb_ray.data.shifts import crop_and_flip


def test_crop_and_flip_shifts_and_mirrors_whole_pictures() -> None:
    images = torch.arange(64.0).view(1, 1, 8, 8).expand(200, 2, 8, 8) + 1
    generator = torch.Generator().manual_seed(0)
    top, left = (torch.randint(0, 3, (200, 1, 1), generator=generator) for _ in range(2))
    out = crop_and_flip(images, 1, top, left, torch.rand(200, 1, 1, generator=generator) < 0.5)
    assert out.shape == images.shape
    padded = torch.nn.functional.pad(images[:1], (1,) * 4)[0, 0]
    windows = [padded[top : top + 8, left : left + 8] for top in range(3) for left in range(3)]
    allowed = {tuple(window.flatten().tolist()) for window in windows}
    allowed |= {tuple(window.flip(1).flatten().tolist()) for window in windows}
    seen = {tuple(picture[channel].flatten().tolist()) for picture in out for channel in range(2)}
    assert seen == allowed
