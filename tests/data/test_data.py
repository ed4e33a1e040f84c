"""Splits, batches and image folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ofb_ray.data import facts, load
from ofb_ray.data.base import Split, crop_and_flip, stratified
from ofb_ray.errors import InputError
from ofb_ray.spec import DataSpec

CPU = torch.device("cpu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, told apart by their colour; pictures of several sizes and modes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 3)):
        for label, name in enumerate(("blue", "red")):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                picture = rng.integers(0, 60, (20 + index, 30, 3), dtype=np.uint8)
                picture[:, :, 0 if label else 2] += 180
                Image.fromarray(picture).save(folder / f"{index}.png")
    return tmp_path


def test_digits_splits_are_disjoint_and_stratified() -> None:
    data = load(DataSpec())
    assert (len(data.train), len(data.val), len(data.test)) == (1222, 216, 359)
    assert facts(DataSpec()).train_images == len(data.train) + len(data.val)
    everything = torch.cat([split.images for split in (data.train, data.val, data.test)]).flatten(1)
    assert len(everything) == 1797
    assert len(torch.unique(everything, dim=0)) == 1797
    assert data.val.labels.bincount().min() >= 20


def test_stratified_is_a_partition_and_a_function_of_its_seed() -> None:
    labels = torch.arange(100) % 7
    rest, held = stratified(labels, 0.2, 3)
    assert torch.equal(torch.cat([rest, held]).sort().values, torch.arange(100))
    assert torch.equal(stratified(labels, 0.2, 3)[1], held)
    assert not torch.equal(stratified(labels, 0.2, 4)[1], held)


def test_batches_cover_the_split_once_and_depend_on_the_seed() -> None:
    split = Split(torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1), torch.arange(10), 1.0, (0.0,), (1.0,))
    batches = list(split.batches(4, CPU, 1))
    assert [len(labels) for _, labels in batches] == [4, 4, 2] == [4] * (split.steps(4) - 1) + [2]
    order = torch.cat([labels for _, labels in batches])
    assert order.sort().values.tolist() == list(range(10))
    assert torch.equal(torch.cat([images for images, _ in batches]).flatten(), order.float())
    assert torch.equal(order, torch.cat([labels for _, labels in split.batches(4, CPU, 1)]))
    assert not torch.equal(order, torch.cat([labels for _, labels in split.batches(4, CPU, 2)]))
    assert torch.cat([labels for _, labels in split.batches(4, CPU)]).tolist() == list(range(10))


def test_crop_and_flip_shifts_and_mirrors_whole_pictures() -> None:
    images = torch.arange(64.0).view(1, 1, 8, 8).expand(200, 2, 8, 8) + 1
    out = crop_and_flip(images, torch.Generator().manual_seed(0))
    assert out.shape == images.shape
    padded = torch.nn.functional.pad(images[:1], (1,) * 4)[0, 0]
    windows = [padded[top : top + 8, left : left + 8] for top in range(3) for left in range(3)]
    allowed = {tuple(window.flatten().tolist()) for window in windows}
    allowed |= {tuple(window.flip(1).flatten().tolist()) for window in windows}
    seen = {tuple(picture[channel].flatten().tolist()) for picture in out for channel in range(2)}
    assert seen == allowed


def test_image_folder_is_decoded_once_and_normalised(root: Path, tmp_path: Path) -> None:
    spec = DataSpec(name="folder", root=str(root), image_size=16, val_share=0.2)
    data = load(spec, tmp_path / "cache")
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 6)
    assert facts(spec).classes == data.classes == 2
    image, label = next(data.train.batches(16, CPU))
    assert image.shape == (16, 3, 16, 16)
    reddest = image.mean(dim=(2, 3)).argmax(dim=1)
    assert torch.equal(reddest == 0, label == 1)
    assert image.abs().max() <= 1.0
    stored = [path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.npy")]
    assert len(stored) == 2
    load(spec, tmp_path / "cache")
    assert stored == [path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.npy")]


def test_limits_are_stratified(root: Path) -> None:
    data = load(DataSpec(name="folder", root=str(root), image_size=16, train_limit=10, test_limit=4, val_share=0.2))
    assert len(data.train) + len(data.val) == 10
    assert data.test.labels.bincount().tolist() == [2, 2]


def test_missing_folders_and_classes_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such folder: .*train"):
        facts(DataSpec(name="folder", root=str(tmp_path / "nowhere")))
    (root / "val" / "green").mkdir()
    Image.new("RGB", (16, 16)).save(root / "val" / "green" / "0.png")
    with pytest.raises(InputError, match="green"):
        load(DataSpec(name="folder", root=str(root), image_size=16))
