"""What a spec says of its data set: limits, declared facts, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofb_ray.config import AugmentSpec, DataSpec
from ofb_ray.data import completed, declared, facts, load
from ofb_ray.data.base import Facts
from ofb_ray.data.memory import MemorySplit
from ofb_ray.errors import InputError
from tests.data.making import make_folder


def test_limits_are_stratified(tmp_path: Path) -> None:
    root = str(make_folder(tmp_path))
    data = load(DataSpec(name="folder", root=root, image_size=16, train_limit=10, test_limit=4, val_share=0.2))
    assert len(data.train) + len(data.val) == 10
    assert isinstance(data.test, MemorySplit)
    assert data.test.labels.bincount().tolist() == [2, 2]


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"classes": 5, "train_images": 100}, Facts(100, 5, 3)),
        ({"classes": 5, "train_images": 100, "train_limit": 30}, Facts(30, 5, 3)),
        ({"classes": 5, "train_images": 100, "train_limit": 300}, Facts(100, 5, 3)),
        ({"classes": 5}, None),
        ({"train_images": 100}, None),
    ],
)
def test_a_spec_may_declare_its_facts(given: dict[str, int], known: Facts | None) -> None:
    assert declared(DataSpec.model_validate({"name": "folder", "root": "nowhere", **given})) == known


@pytest.mark.parametrize(
    ("given", "message"),
    [({"classes": 3}, "data.classes: is 3, .* has 2"), ({"train_images": 21}, "data.train_images: is 21, .* has 20")],
)
def test_what_is_declared_must_be_what_is_found(tmp_path: Path, given: dict[str, int], message: str) -> None:
    spec = DataSpec.model_validate({"name": "folder", "root": str(make_folder(tmp_path)), "train_limit": 5, **given})
    for look in (facts, load):
        with pytest.raises(InputError, match=message):
            look(spec)


def test_an_unknown_augmentation_string_is_refused_before_anything_runs(tmp_path: Path) -> None:
    augment = AugmentSpec(kind="imagenet", rand_augment="rand-z9")
    with pytest.raises(InputError, match=r"data\.augment.rand_augment: timm cannot read 'rand-z9'"):
        facts(DataSpec(name="folder", root=str(make_folder(tmp_path)), augment=augment))


@pytest.mark.parametrize("key", ["mean", "std"])
def test_a_number_is_for_all_channels_and_another_count_of_numbers_is_refused(key: str) -> None:
    def used(name: str, value: object) -> object:
        return getattr(completed(DataSpec.model_validate({"name": name, "root": "x", key: value})), key)

    for value in (0.4, [0.4]):
        assert used("cifar10", value) == (0.4, 0.4, 0.4)
        assert used("tests.data.toy:grey", value) == used("digits", value) == (0.4,)
    assert used("cifar10", [0.1, 0.2, 0.3]) == (0.1, 0.2, 0.3)
    for name, channels in (("cifar10", 3), ("digits", 1), ("tests.data.toy:grey", 1)):
        with pytest.raises(InputError, match=rf"data\.{key}: has 2 numbers, and the images have {channels} channels"):
            used(name, [0.4, 0.5])


def test_a_deviation_is_above_zero() -> None:
    for value in (0, [0.5, 0, 0.5]):
        with pytest.raises(ValueError, match="greater than 0"):
            DataSpec.model_validate({"std": value})
