"""torchvision's sets: read by their own classes, from files of their own layout."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as sets
from PIL import Image
from scipy.io import savemat

from ofb_ray.config import DataSpec
from ofb_ray.data import facts, load
from ofb_ray.data.base import EpochPlan
from ofb_ray.data.memory import MemorySplit
from ofb_ray.errors import InputError
from tests.data.making import CPU, one_pass

CLASSES, TRAIN, TEST = 3, 30, 9


def labels_of(count: int) -> list[int]:
    return [index % CLASSES for index in range(count)]


def shades(count: int, side: int, channels: int) -> np.ndarray:
    """Images whose level tells their label: 40, 100, 160."""
    levels = np.array([40 + 60 * label for label in labels_of(count)], dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, side, side, channels)).copy()


def write_mnist(root: Path, patch: pytest.MonkeyPatch, name: str = "MNIST") -> None:
    del patch
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for stem, count in (("train", TRAIN), ("t10k", TEST)):
        images = shades(count, 28, 1).tobytes()
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, count, 28, 28) + images)
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + bytes(labels_of(count)))


def write_fashion(root: Path, patch: pytest.MonkeyPatch) -> None:
    write_mnist(root, patch, "FashionMNIST")


def write_cifar(root: Path, patch: pytest.MonkeyPatch, kind: type = sets.CIFAR10, key: str = "labels") -> None:
    """torchvision compares checksums of the real files; they are taken out, the rest is its own code."""
    folder = root / kind.base_folder  # type: ignore[attr-defined]
    folder.mkdir(parents=True)
    names = {"train": ["data_batch_1", "data_batch_2"], "test": ["test_batch"]}
    for part, files in names.items():
        for file in files:
            count = TRAIN // 2 if part == "train" else TEST
            data = shades(count, 32, 3).transpose(0, 3, 1, 2).reshape(count, -1)
            (folder / file).write_bytes(pickle.dumps({"data": data, key: labels_of(count)}))
        patch.setattr(kind, f"{part}_list", [[file, None] for file in files])
    meta = dict(kind.meta, md5=None)  # type: ignore[attr-defined]
    (folder / meta["filename"]).write_bytes(pickle.dumps({meta["key"]: ["ant", "bee", "cow"]}))
    patch.setattr(kind, "meta", meta)


def write_cifar100(root: Path, patch: pytest.MonkeyPatch) -> None:
    write_cifar(root, patch, sets.CIFAR100, "fine_labels")


def write_svhn(root: Path, patch: pytest.MonkeyPatch) -> None:
    """SVHN writes the digit 0 as label 10."""
    for part, count in (("train", TRAIN), ("test", TEST)):
        labels = np.array([label or 10 for label in labels_of(count)])[:, None]
        savemat(root / f"{part}_32x32.mat", {"X": shades(count, 32, 3).transpose(1, 2, 3, 0), "y": labels})
    split_list = {part: ["", f"{part}_32x32.mat", None] for part in ("train", "test")}
    patch.setattr(sets.SVHN, "split_list", split_list)


def write_food(root: Path, patch: pytest.MonkeyPatch) -> None:
    del patch
    base, names = root / "food-101", ["ant", "bee", "cow"]
    (base / "meta").mkdir(parents=True)
    for part, count in (("train", TRAIN), ("test", TEST)):
        listed: dict[str, list[str]] = {name: [] for name in names}
        for index, (label, image) in enumerate(zip(labels_of(count), shades(count, 20, 3), strict=True)):
            listed[names[label]].append(f"{names[label]}/{part}{index}")
            path = base / "images" / f"{names[label]}/{part}{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path, quality=100)
        (base / "meta" / f"{part}.json").write_text(json.dumps(listed))


def write_pets(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Its training part is called trainval."""
    del patch
    base = root / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    (base / "images").mkdir()
    for part, count in (("trainval", TRAIN), ("test", TEST)):
        lines = []
        for index, (label, image) in enumerate(zip(labels_of(count), shades(count, 20, 3), strict=True)):
            stem = f"{('ant', 'bee', 'cow')[label]}_{part}_{index}"
            Image.fromarray(image).save(base / "images" / f"{stem}.jpg", quality=100)
            lines.append(f"{stem} {label + 1} 1 1")
        (base / "annotations" / f"{part}.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "write", "classes"),
    [
        ("cifar10", write_cifar, 3),
        ("cifar100", write_cifar100, 3),
        ("torch/mnist", write_mnist, 10),
        ("torch/fashion_mnist", write_fashion, 10),
        ("torch/SVHN", write_svhn, 3),
        ("torch/food101", write_food, 3),
        ("torch/oxford_iiit_pet", write_pets, 3),
    ],
)
def test_torchvision_sets_are_read_by_their_own_classes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    write: Callable[[Path, pytest.MonkeyPatch], None],
    classes: int,
) -> None:
    write(tmp_path, monkeypatch)
    spec = DataSpec(name=name, root=str(tmp_path), image_size=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    found = facts(spec)
    assert (found.train_images, found.classes, found.channels) == (TRAIN, classes, 3)
    data = load(spec, tmp_path / "cache")
    assert (len(data.train) + len(data.val), len(data.test), data.classes) == (TRAIN, TEST, classes)
    assert isinstance(data.train, MemorySplit)
    for batch in one_pass(data.train, EpochPlan(8, 0)):
        levels = batch.image.mean(dim=(1, 2, 3)) * 255
        assert torch.allclose(levels, 40.0 + 60 * batch.label, atol=2)
    labels = torch.cat([label for _, label in data.test.test_batches(4, CPU)])
    assert sorted(labels.tolist()) == sorted(labels_of(TEST))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "cifar10"}, r"data\.root: cifar10 needs `root`"),
        ({"name": "cifar10", "root": "nowhere"}, r"data\.root: cannot read CIFAR10 in nowhere: .*data\.download: true"),
        ({"name": "torch/food101", "root": "nowhere"}, r"data\.root: cannot read Food101 in nowhere"),
        ({"name": "torch/food102", "root": "x"}, r"data\.name: .* no classification set 'food102'; .* 'food101'"),
        ({"name": "torch/fakedata", "root": "x"}, r"data\.name: .* no classification set 'fakedata'"),
    ],
)
def test_what_is_missing_is_told_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        facts(DataSpec.model_validate(given))
    assert list(tmp_path.iterdir()) == []
