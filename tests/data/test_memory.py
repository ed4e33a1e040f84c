"""Batches of images in memory."""

from __future__ import annotations

from dataclasses import replace

import torch

from ofb_ray.data.base import EpochPlan, epoch_order
from tests.data.making import CPU, one_pass, pixels, ten


def test_a_pass_without_augmentation_shows_the_images_as_they_are() -> None:
    split = ten(crop_flip=True)
    order = epoch_order(10, 3)
    assert torch.equal(pixels(one_pass(split, EpochPlan(4, 3, augment=False))), split.images[order].float())
    assert not torch.equal(pixels(one_pass(split, EpochPlan(4, 3))), split.images[order].float())


def test_images_of_another_side_are_resized_on_the_way_out() -> None:
    ways = ("nearest", "bilinear", "bicubic", "lanczos")
    first, second, third, fourth = (
        next(replace(ten(), size=16, scale=255.0, interpolation=way).test_batches(10, CPU))[0] for way in ways
    )
    assert torch.equal(first, (ten().images / 255).repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.equal(third, fourth)
    assert not torch.equal(second, third)
    assert torch.nn.functional.mse_loss(second, third) < 0.01
