"""Image folders in ImageNet layout: `root`/train/<class>/* and `root`/test or val/<class>/*.

Every image is decoded once, shortest side to `image_size` and centre-cropped, into one array of bytes; trials map it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional as transforms

from ofb_ray.data.base import Dataset, Facts, MemorySplit, stratified
from ofb_ray.errors import InputError
from ofb_ray.spec import DataSpec

SPLIT_SEED = 0
_MEAN = (0.5, 0.5, 0.5)


def facts(spec: DataSpec) -> Facts:
    """Counts the files of train/.

    Raises:
        InputError: `root` lacks train/ or test/ (val/), or train/ has no class folders.
    """
    root = Path(spec.root or "")
    for names in (("train",), ("test", "val")):
        if not any((root / name).is_dir() for name in names):
            wanted = " or ".join(f"{root / name}/<class>/*" for name in names)
            raise InputError(f"no such folder: {wanted}; `data.root` must hold the image folders", key="data.root")
    classes = [entry for entry in (root / "train").iterdir() if entry.is_dir()]
    if not classes:
        raise InputError(f"{root / 'train'} has no class folders: wanted {root / 'train'}/<class>/*", key="data.root")
    images = sum(len(os.listdir(folder)) for folder in classes)
    return Facts(min(spec.train_limit or images, images), len(classes), 3)


def load(spec: DataSpec, cache: Path | None = None) -> Dataset:
    """Decode (once per `cache` folder) and split; `val_share` of train is held out, class by class."""
    facts(spec)
    root = Path(spec.root or "")
    test_name = "test" if (root / "test").is_dir() else "val"
    train_images, train_labels, names = _decoded(root / "train", spec.image_size, spec.train_limit, cache)
    test_images, test_labels, test_names = _decoded(root / test_name, spec.image_size, spec.test_limit, cache)
    if names != test_names:
        odd = sorted(set(names) ^ set(test_names))
        raise InputError(f"train and {test_name} differ in their classes: {', '.join(odd)}", key="data.root")
    rest, val = stratified(train_labels, spec.val_share, SPLIT_SEED)
    mean, std = spec.mean or _MEAN, spec.std or _MEAN

    def split(images: torch.Tensor, labels: torch.Tensor) -> MemorySplit:
        return MemorySplit(images, labels, 255.0, mean, std, spec.image_size, spec.augment.kind == "crop_flip")

    train = split(train_images[rest], train_labels[rest])
    return Dataset(train, split(train_images[val], train_labels[val]), split(test_images, test_labels), len(names), 3)


def _decoded(
    folder: Path, size: int, limit: int | None, cache: Path | None
) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    listing = ImageFolder(str(folder))
    labels = torch.tensor(listing.targets)
    chosen = _subset(labels, limit)
    samples = [listing.samples[index][0] for index in chosen.tolist()]
    if cache is None:
        return torch.from_numpy(_decode(samples, size)), labels[chosen], listing.classes
    state = os.stat(folder)
    identity = f"{folder.resolve()}|{state.st_mtime_ns}|{size}|{limit}|{len(labels)}"
    path = cache / f"{folder.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.npy"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            partial = path.with_suffix(".partial.npy")
            np.save(partial, _decode(samples, size))
            partial.replace(path)
    return torch.from_numpy(np.load(path)), labels[chosen], listing.classes


def _subset(labels: torch.Tensor, limit: int | None) -> torch.Tensor:
    """A stratified subset of about `limit` images, fixed by the split seed."""
    if limit is None or limit >= len(labels):
        return torch.arange(len(labels))
    return stratified(labels, limit / len(labels), SPLIT_SEED)[1]


def _decode(samples: list[str], size: int) -> np.ndarray:
    images = np.empty((len(samples), 3, size, size), dtype=np.uint8)
    for place, sample in enumerate(samples):
        with Image.open(sample) as picture:
            resized = transforms.center_crop(transforms.resize(picture.convert("RGB"), size), [size, size])
        images[place] = np.asarray(resized).transpose(2, 0, 1)
    return images
