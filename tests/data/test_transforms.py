"""timm's transforms for a spec, and boxes of noise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ofb_ray.config import DataSpec
from ofb_ray.data import load
from ofb_ray.data.base import Dataset, EpochPlan
from ofb_ray.data.transforms import train_transform
from tests.data.making import make_folder, one_pass, picture, pixels

IMAGENET: dict[str, object] = {"kind": "imagenet", "erasing": 0.5}


def spec_of(root: Path, augment: object = IMAGENET, **more: object) -> DataSpec:
    given = {"name": "folder", "root": str(root), "image_size": 24, "val_share": 0.2, "decode": "stream", "workers": 0}
    return DataSpec.model_validate(given | {"augment": augment} | more)


def stream(root: Path, augment: object = IMAGENET, **more: object) -> Dataset:
    return load(spec_of(root, augment, **more))


@pytest.mark.parametrize(
    ("augment", "there", "absent"),
    [
        ({}, ["RandAugment", "scale=(0.08, 1.0)"], ["ColorJitter"]),
        ({"rand_augment": None}, ["ColorJitter(brightness=(0.6"], ["RandAugment"]),
        ({"rand_augment": None, "color_jitter": 0.0, "min_area": 0.3}, ["scale=(0.3, 1.0)"], ["RandAugment"]),
    ],
)
def test_the_recipe_is_timms(augment: dict[str, object], there: list[str], absent: list[str]) -> None:
    spec = spec_of(Path("nowhere"), {"kind": "imagenet"} | augment)
    text = repr(train_transform(spec))
    assert "RandomHorizontalFlip(p=0.5)" in text
    assert [word for word in there if word not in text] == []
    assert [word for word in absent if word in text] == []


def test_posterize_may_keep_no_bit() -> None:
    """Pillow 13 refuses zero bits, and timm's own function then ends the pass."""
    recipe = train_transform(spec_of(Path("nowhere"), {"kind": "imagenet", "rand_augment": "rand-m10-inc1-p1.0"}))
    randomly = next(step for step in recipe.transforms if hasattr(step, "ops"))  # type: ignore[attr-defined]
    posterize = next(operation for operation in randomly.ops if operation.name == "PosterizeIncreasing")
    posterize.prob = 1.0
    assert posterize(picture(0)).getextrema() == ((0, 0),) * 3


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_erasing_puts_noise_into_a_box_of_its_share_of_images(tmp_path: Path, share: float) -> None:
    root = make_folder(tmp_path, train=50)
    spec = {"kind": "imagenet", "erasing": share}
    plain = pixels(one_pass(stream(root, spec | {"erasing": 0}).train, EpochPlan(20, 0)))
    changed = (pixels(one_pass(stream(root, spec).train, EpochPlan(20, 0))) != plain).any(dim=1)
    erased = changed.flatten(1).any(dim=1)
    assert erased.float().mean() == pytest.approx(share, abs=0.12)
    for box in changed[erased]:
        rows, columns = box.any(dim=1), box.any(dim=0)
        assert torch.equal(box, rows[:, None] & columns[None, :])
        assert 0.01 < box.float().mean() < 0.4
