"""Make the splits of a data set whose images are listed: limited, held out, decoded once or streamed.

What `decode` does:
    once    all images lie decoded in files below `cache`. Where every one is square, of one size and not above
            image_size (CIFAR), pixels are kept as they are and resized on the device, whole: `crop` does not apply to
            images that are enlarged. Others are stored at image_size, after the test transform.
    stream  worker processes decode in every pass.
    auto    once where the bytes fit 4 GiB, else stream. Kind imagenet crops at random and needs more than image_size
            pixels: its photographs are streamed, and only small images as above are decoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ofb_ray.config import DataSpec
from ofb_ray.data.base import Dataset, Facts, NoSplit, Split, stratified
from ofb_ray.data.image_source import Array, ImageSource, ListedImages, Subset, Tally
from ofb_ray.data.memory import MemorySplit
from ofb_ray.data.names import class_names
from ofb_ray.data.store import common_side, stored
from ofb_ray.data.stream import StreamSplit
from ofb_ray.data.transforms import MEAN, STD, train_transform
from ofb_ray.errors import InputError

SPLIT_SEED = 0
ONCE_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Images:
    """Loads one kind of data set.

    Args:
        find: lists the images of a spec.
        fixed: the set behind a name never changes, so its images are counted once per process.
    """

    find: Callable[[DataSpec], ListedImages]
    fixed: bool = False

    def facts(self, spec: DataSpec) -> Facts:
        """Count images and classes without decoding.

        Raises:
            InputError: files are missing, the set differs from what the spec declares, or timm does not know the
                RandAugment string.
        """
        train_transform(spec)
        where = DataSpec(name=spec.name, root=spec.root, download=spec.download)
        images, classes = (_counts_once if self.fixed else _counts)(self.find, where)
        for key, declared, there in (("classes", spec.classes, classes), ("train_images", spec.train_images, images)):
            if declared is not None and declared != there:
                raise InputError(f"is {declared}, but the data set has {there}; correct or drop it", key=f"data.{key}")
        return Facts(min(spec.train_limit or images, images), classes, 3)

    def load(self, spec: DataSpec, cache: Path | None = None) -> Dataset:
        """Make the splits of the set.

        Raises:
            InputError: as `facts` does, or more images are unreadable than `data.unreadable` allows.
        """
        classes = self.facts(spec).classes
        return assemble(self.find(spec), classes, spec, cache)


def assemble(found: ListedImages, classes: int, spec: DataSpec, cache: Path | None) -> Dataset:
    """Make the splits of a data set whose images are listed, decoded once or streamed.

    Args:
        classes: number of classes.
        cache: folder of decoded images; None keeps them in memory.

    Raises:
        InputError: more images are unreadable than `data.unreadable` allows.
    """
    chosen = choose(found, spec)
    names: list[str] = []
    tallies = tallies_of(chosen, spec, names)
    native = None if spec.decode == "stream" else _common(chosen, spec.image_size, cache)
    if decodes_once(spec, native, sum(len(part.labels) for part in chosen)):
        splits = [
            _memory(part, spec, native, cache, tally, training=index == 0)
            for index, (part, tally) in enumerate(zip(chosen, tallies, strict=True))
        ]
    else:
        splits = [_stream(part, spec, tally) for part, tally in zip(chosen, tallies, strict=True)]
    return Dataset(
        splits[0], splits[1], splits[2] if len(splits) > 2 else NoSplit(), classes, 3, names, class_names(found.classes)
    )


def choose(found: ListedImages, spec: DataSpec) -> tuple[Subset, ...]:
    """Choose the images of train, val and, where there is one, test, within their limits.

    Where val is no part of its own, `val_share` of train is held out, class by class.
    """
    rest = limited(found.train.labels, spec.train_limit)
    if found.val is not None:
        val = Subset(found.val, torch.arange(len(found.val.labels)))
    else:
        rest, held = (rest[indices] for indices in stratified(found.train.labels[rest], spec.val_share, SPLIT_SEED))
        val = Subset(found.train, held)
    if found.test is None:
        return Subset(found.train, rest), val
    return Subset(found.train, rest), val, Subset(found.test, limited(found.test.labels, spec.test_limit))


def tallies_of(chosen: Sequence[Subset], spec: DataSpec, names: list[str]) -> list[Tally]:
    """Make a tally for each part; a part that is held out of train shares that of train.

    Args:
        names: list that all of them add the names of unreadable images to.
    """
    train, val = chosen[:2]
    own = val.pictures is not train.pictures
    of_train = Tally("train", len(train.indices) + (0 if own else len(val.indices)), spec.unreadable, names)
    of_val = Tally("val", len(val.indices), spec.unreadable, names) if own else of_train
    return [of_train, of_val, *(Tally("test", len(test.indices), spec.unreadable, names) for test in chosen[2:])]


def _counts(find: Callable[[DataSpec], ListedImages], where: DataSpec) -> tuple[int, int]:
    found = find(where)
    return len(found.train.labels), len(found.classes)


_counts_once = lru_cache(maxsize=8)(_counts)


def decodes_once(spec: DataSpec, native: int | None, images: int) -> bool:
    """Decide by the rule above whether images are decoded once.

    Args:
        native: the side in pixels of images that are all small squares of one size, else None.
        images: of all parts together.

    Raises:
        InputError: `decode: once` cannot serve kind imagenet.
    """
    if spec.decode == "stream":
        return False
    if spec.augment.kind == "imagenet" and native is None:
        if spec.decode == "once":
            raise InputError(
                "once keeps image_size pixels, and the crops of augment kind imagenet need more; use stream or auto",
                key="data.decode",
            )
        return False
    return spec.decode == "once" or images * 3 * (native or spec.image_size) ** 2 <= ONCE_BYTES


def limited(labels: Tensor, limit: int | None) -> Tensor:
    """Choose a stratified subset, fixed by the split seed.

    Args:
        labels: (N,) int64.
        limit: about so many images; None chooses all.
    Returns:
        Indices (n,), ascending.
    """
    if limit is None or limit >= len(labels):
        return torch.arange(len(labels))
    return stratified(labels, limit / len(labels), SPLIT_SEED)[1]


def _common(chosen: Sequence[ImageSource], largest: int, cache: Path | None) -> int | None:
    first = common_side(chosen[0], largest, cache)
    same = first is not None and all(common_side(part, largest, cache) == first for part in chosen[1:])
    return first if same else None


def _memory(
    part: ImageSource, spec: DataSpec, native: int | None, cache: Path | None, tally: Tally, training: bool
) -> Split:
    images, labels = stored(part, spec, native is not None, native or spec.image_size, cache, tally)
    if training and spec.augment.kind == "imagenet":
        return _stream(Array(images, labels), spec, tally)
    return MemorySplit(
        images,
        labels,
        255.0,
        spec.mean or MEAN,
        spec.std or STD,
        spec.image_size,
        spec.augment.kind == "crop_flip",
        spec.interpolation or "bicubic",
    )


def _stream(part: ImageSource, spec: DataSpec, tally: Tally) -> Split:
    return StreamSplit(part, spec, tally, stream_workers(spec))


def stream_workers(spec: DataSpec) -> int:
    """Return the number of decoding processes of a streamed split."""
    return max(0, torch.get_num_threads() - 1) if spec.workers is None else spec.workers
