"""Which images are decoded once and which are streamed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ofb_ray.config import AugmentSpec, DataSpec
from ofb_ray.data import load
from ofb_ray.data.base import EpochPlan
from ofb_ray.data.images import ONCE_BYTES, decodes_once
from ofb_ray.data.memory import MemorySplit
from ofb_ray.data.stream import StreamSplit
from ofb_ray.errors import InputError
from tests.data.making import make_folder, one_pass, pixels


def spec_of(root: Path, **more: object) -> DataSpec:
    return DataSpec.model_validate({"name": "folder", "root": str(root), "image_size": 16, "val_share": 0.2, **more})


@pytest.mark.parametrize(
    ("decode", "kind", "native", "images", "once"),
    [
        ("auto", "none", None, ONCE_BYTES // (3 * 224**2), True),
        ("auto", "crop_flip", None, ONCE_BYTES // (3 * 224**2) + 1, False),
        ("auto", "crop_flip", 32, ONCE_BYTES // (3 * 224**2) + 1, True),
        ("auto", "imagenet", None, 1, False),
        ("auto", "imagenet", 32, 50_000, True),
        ("once", "none", None, 10**9, True),
        ("once", "imagenet", 32, 10**9, True),
        ("stream", "none", 32, 1, False),
    ],
)
def test_the_rule_of_decode(decode: str, kind: str, native: int | None, images: int, once: bool) -> None:
    spec = DataSpec.model_validate({"name": "folder", "root": "x", "decode": decode, "augment": {"kind": kind}})
    assert decodes_once(spec, native, images) is once


def test_once_is_refused_where_crops_need_more_pixels(tmp_path: Path) -> None:
    spec = spec_of(make_folder(tmp_path), decode="once", augment=AugmentSpec(kind="imagenet"))
    with pytest.raises(InputError, match=r"data\.decode: once keeps image_size pixels"):
        load(spec)


def test_small_images_decoded_once_go_through_the_imagenet_recipe(tmp_path: Path) -> None:
    root = make_folder(tmp_path, size=(8, 8))
    data = load(spec_of(root, augment=AugmentSpec(kind="imagenet")), tmp_path / "cache")
    assert isinstance(data.train, StreamSplit)
    assert isinstance(data.val, MemorySplit)
    direct = load(spec_of(root, augment=AugmentSpec(kind="imagenet"), decode="stream"))
    assert torch.equal(pixels(one_pass(data.train, EpochPlan(8, 1))), pixels(one_pass(direct.train, EpochPlan(8, 1))))
