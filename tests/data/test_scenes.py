"""Scenes: bit for bit the same in every process, and made of digits that no two splits share."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from ofb_ray.config import DataSpec
from ofb_ray.data import EpochPlan, completed, declared, facts, load, scenes
from ofb_ray.data.base import Facts
from ofb_ray.data.digits import bundled
from ofb_ray.data.memory import MemorySplit
from ofb_ray.errors import InputError

DIGEST = "e9b69990af7e316904c710ae7fb2af491f3220ceebc21d4c7fc6e4558874dbb9"
DIGEST_CODE = "from tests.data.test_scenes import digest; print(digest())"


def spec(**changes: Any) -> DataSpec:
    return DataSpec.model_validate({"name": "scenes", **changes})


def splits(**changes: Any) -> dict[str, MemorySplit]:
    data = load(spec(**changes))
    named = {"train": data.train, "val": data.val, "test": data.test}
    return {name: split for name, split in named.items() if isinstance(split, MemorySplit)}


def digest() -> str:
    """Hash the pixels and labels of all splits."""
    parts = [part.numpy().tobytes() for split in splits().values() for part in (split.images, split.labels)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_scenes_never_change() -> None:
    assert digest() == DIGEST


def test_another_process_with_other_seeds_composes_the_same() -> None:
    code = f"import torch; torch.manual_seed(7); {DIGEST_CODE}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == DIGEST


def test_splits_have_their_sizes_and_classes_in_equal_parts() -> None:
    found = splits()
    assert {name: len(split) for name, split in found.items()} == {"train": 10_200, "val": 1_800, "test": 6_000}
    for split in found.values():
        assert split.images.shape[1:] == (1, 16, 16)
        assert split.images.dtype == torch.uint8
        assert len(set(split.labels.bincount().tolist())) == 1
        assert len(torch.unique(split.images.flatten(1), dim=0)) == len(split)


@pytest.mark.parametrize("val_share", [0.05, 0.15, 0.5])
def test_no_digit_is_in_two_splits(val_share: float) -> None:
    labels = bundled()[1]
    parts = scenes.split_digits(labels, val_share)
    assert all(not set(one.tolist()) & set(other.tolist()) for one, other in combinations(parts, 2))
    assert sorted(torch.cat(parts).tolist()) == list(range(len(labels)))


def test_scenes_are_made_of_the_digits_of_their_split_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every digit is painted in a grey of its split, so that a scene's inks tell whose digits are in it."""
    images, labels = bundled()
    grey = {"train": 4, "val": 8, "test": 16}
    painted = torch.zeros_like(images)
    for split, index in scenes.split_digits(labels, 0.15)._asdict().items():
        painted[index] = grey[split]
    monkeypatch.setattr(scenes, "bundled", lambda: (painted, labels))
    for name, level in (("INK", (160, 160)), ("GROUND", (0, 0)), ("SLOPE", (0, 0)), ("NOISE", (0, 0))):
        monkeypatch.setattr(scenes, name, level)
    for split, found in splits().items():
        assert torch.unique(found.images).tolist() == [0, grey[split] * 10]


def test_the_label_is_that_of_the_one_whole_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, level in (("INK", (16, 16)), ("GROUND", (0, 0)), ("SLOPE", (0, 0)), ("NOISE", (0, 0))):
        monkeypatch.setattr(scenes, name, level)
    images, labels = bundled()
    made = scenes.compose(scenes.Part(images, labels), 200, 3)
    boxes = made.images.unfold(2, 8, scenes.STEP).unfold(3, 8, scenes.STEP).reshape(200, -1, 64)
    places = set()
    for scene, label in zip(boxes, made.labels, strict=True):
        same = (scene[:, None] == images.reshape(1, -1, 64)).all(2)
        whole = same.nonzero()
        assert torch.unique(labels[whole[:, 1]]).tolist() == [label]
        places.add(int(whole[0, 0]))
    assert places == set(range(9))


def test_limits_take_the_first_scenes_of_every_class() -> None:
    whole, some = splits(), splits(train_limit=500, test_limit=100)
    assert [len(split) for split in some.values()] == [500, 1_800, 100]
    for name in ("train", "test"):
        assert torch.equal(some[name].images, whole[name].images[: len(some[name])])
        assert some[name].labels.bincount().tolist() == [len(some[name]) // 10] * 10


def test_the_held_out_share_is_that_of_digits_and_of_scenes() -> None:
    assert [len(split) for split in splits(val_share=0.25).values()] == [9_000, 3_000, 6_000]
    train, val, test = (len(part) for part in scenes.split_digits(bundled()[1], 0.25))
    assert val / (train + val) == pytest.approx(0.25, abs=0.01)
    assert test / 1797 == pytest.approx(scenes.TEST_SHARE, abs=0.01)


def test_facts_count_without_composing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "compose", None)
    assert facts(spec()) == Facts(12_000, 10, 1)
    assert facts(spec(train_limit=300)) == Facts(300, 10, 1)
    assert declared(spec()) == facts(spec())
    assert declared(spec(classes=3, train_images=7)) == facts(spec())


def test_pixels_are_normalised_by_the_sets_own_mean_and_deviation() -> None:
    known = completed(spec())
    assert (known.image_size, known.mean, known.std) == (16, scenes.MEAN, scenes.STD)
    batches = load(known).train.train_batches(EpochPlan(4_000, 0), torch.device("cpu"))
    image = torch.cat([batch.image for batch in batches])
    assert image.shape[1:] == (1, 16, 16)
    assert float(image.mean()) == pytest.approx(0, abs=0.01)
    assert float(image.std()) == pytest.approx(1, abs=0.01)
    assert completed(spec(mean=[0.5], std=[0.25])).mean == (0.5,)


def test_training_images_are_shifted_where_the_spec_says_so_and_resized_to_its_side() -> None:
    pictures = {}
    for kind in ("none", "crop_flip"):
        split = splits(augment=kind, image_size=24, train_limit=50)["train"]
        (batch,) = split.train_batches(EpochPlan(50, 0), torch.device("cpu"))
        assert batch.image.shape == (50, 1, 24, 24)
        pictures[kind] = batch.image
    assert not torch.equal(pictures["none"], pictures["crop_flip"])


@pytest.mark.parametrize("val_share", [0.0001, 0.9999])
def test_a_held_out_share_that_leaves_a_class_without_digits_is_refused(val_share: float, tmp_path: Path) -> None:
    for look in (facts, load):
        with pytest.raises(InputError, match=r"data\.val_share: .* leaves no digits for a class") as error:
            look(spec(val_share=val_share))
        assert "\n" not in str(error.value)
