"""Make timm's transforms for a spec, and normalise and erase pixels on the device."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import chain
from typing import Any, cast

import torch
from PIL import Image
from timm.data import auto_augment, create_transform
from timm.data.random_erasing import RandomErasing
from torch import Tensor

from ofb_ray.config import DataSpec
from ofb_ray.errors import InputError

Transform = Callable[[Image.Image], Tensor]
MEAN = STD = (0.5, 0.5, 0.5)


def train_transform(spec: DataSpec) -> Transform:
    """Make the training transform: random resized crop, mirror, RandAugment or else colour jitter.

    Returns:
        RGB image -> (3, image_size, image_size) uint8.
    Raises:
        InputError: timm does not know the RandAugment string.
    """
    augment = spec.augment
    if augment.kind != "imagenet":
        return test_transform(spec)
    try:
        recipe = create_transform(
            spec.image_size,
            is_training=True,
            scale=(augment.min_area, 1.0),
            color_jitter=augment.color_jitter,
            auto_augment=augment.rand_augment,
            interpolation=spec.interpolation or "bicubic",
            mean=spec.mean or MEAN,
            normalize=False,
        )
    except (AssertionError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"timm cannot read {augment.rand_augment!r} ({error or type(error).__name__}); "
            "an example is rand-m9-mstd0.5-inc1",
            key="data.augment.rand_augment",
        ) from None
    mend_posterize(recipe)
    return cast(Transform, recipe)


def mend_posterize(recipe: Any) -> None:
    """Let timm's posterize keep no bit at all, a black image, as it did before Pillow 13 refused zero bits.

    RandAugment's m9-mstd0.5 asks for it in about one image of a thousand.

    Args:
        recipe: a transform of `create_transform`, changed in place.
    """
    for step in recipe.transforms:
        for operation in (*getattr(step, "ops", ()), *chain(*getattr(step, "policy", ()))):
            if operation.aug_fn is auto_augment.posterize:
                operation.aug_fn = _posterize


def _posterize(image: Image.Image, bits: int, **unused: Any) -> Image.Image:
    if bits < 1:
        return Image.new(image.mode, image.size)
    return cast(Image.Image, auto_augment.posterize(image, bits, **unused))  # type: ignore[no-untyped-call]


def test_transform(spec: DataSpec) -> Transform:
    """Make the test transform, RGB image -> (3, image_size, image_size) uint8.

    The shortest side is resized to image_size / crop pixels, then the centre is cropped.
    """
    recipe = create_transform(
        spec.image_size,
        crop_pct=spec.crop or 1.0,
        interpolation=spec.interpolation or "bicubic",
        normalize=False,
    )
    return cast(Transform, recipe)


test_transform.__test__ = False  # type: ignore[attr-defined]  # no test, though pytest would collect the name


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Normalise pixels in place.

    Args:
        images: (B, C, height, width) float, 0 to 255.
        mean: of each channel, in [0, 1].
        std: of each channel, in [0, 1].
    """
    shape = (1, -1, 1, 1)
    offset, scale = (images.new_tensor(values).mul_(255).view(shape) for values in (mean, std))
    return images.sub_(offset).div_(scale)


def per_channel(values: tuple[float, ...], channels: int, key: str) -> tuple[float, ...]:
    """Give each channel its value: one value is for all of them, and three that are for colours make one of a grey.

    Raises:
        InputError: another number of values; names `data.<key>`.
    """
    if len(values) == channels:
        return values
    if len(values) == 1 or (len(values), channels) == (3, 1):
        return (sum(values) / len(values),) * channels
    raise InputError(
        f"has {len(values)} numbers, and the images have {channels} channels: give one number, or one for each channel",
        key=f"data.{key}",
    )


def erase(images: Tensor, seeds: Tensor) -> Tensor:
    """Erase a box of each image by noise, in place: timm's random erasing.

    Args:
        images: (B, C, height, width), normalised.
        seeds: (B,) int64, of each image's box and noise; a negative one leaves its image as it is.
    """
    boxes: Callable[[Tensor], Tensor] = RandomErasing(1.0, mode="pixel", device=images.device)  # type: ignore[no-untyped-call]
    state = random.getstate()
    with torch.random.fork_rng([images.device] if images.is_cuda else []):
        for index in (seeds >= 0).nonzero().flatten().tolist():
            seed = int(seeds[index])
            random.seed(seed)
            torch.manual_seed(seed)
            boxes(images[index])
    random.setstate(state)
    return images
