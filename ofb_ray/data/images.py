"""From the pictures of a data set to its splits: limits, the held-out part, decoded once or streamed.

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
from ofb_ray.data.base import Dataset, Facts, MemorySplit, NoSplit, Split, stratified
from ofb_ray.data.image_source import Array, Chosen, Found, Pictures, Tally
from ofb_ray.data.store import common_side, stored
from ofb_ray.data.stream import StreamSplit
from ofb_ray.data.transforms import MEAN, STD, train_transform
from ofb_ray.errors import InputError

SPLIT_SEED = 0
ONCE_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Images:
    """A kind of data set.

    Args:
        find: lists its pictures.
        fixed: what a name stands for never changes, so one look per process is enough for its counts.
    """

    find: Callable[[DataSpec], Found]
    fixed: bool = False

    def facts(self, spec: DataSpec) -> Facts:
        """Counts that need no decoding.

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
        """The splits of the set.

        Raises:
            InputError: as `facts` does, or more images are unreadable than `data.unreadable` allows.
        """
        classes = self.facts(spec).classes
        return assemble(self.find(spec), classes, spec, cache)


def assemble(found: Found, classes: int, spec: DataSpec, cache: Path | None) -> Dataset:
    """The splits of a data set whose pictures are listed, decoded once or streamed.

    Raises:
        InputError: more images are unreadable than `data.unreadable` allows.
    """
    chosen = choose(found, spec)
    names: list[str] = []
    tallies = tallies_of(chosen, spec, names)
    native = None if spec.decode == "stream" else _common(chosen, spec.image_size, cache)
    if decodes_once(spec, native, sum(len(part.labels) for part in chosen)):
        splits = [
            _memory(part, spec, native, cache, tally, training=place == 0)
            for place, (part, tally) in enumerate(zip(chosen, tallies, strict=True))
        ]
    else:
        splits = [_stream(part, spec, tally) for part, tally in zip(chosen, tallies, strict=True)]
    return Dataset(splits[0], splits[1], splits[2] if len(splits) > 2 else NoSplit(), classes, 3, names)


def choose(found: Found, spec: DataSpec) -> tuple[Chosen, ...]:
    """The pictures of train, val and, where there is one, test, limited.

    Where val is no part of its own, `val_share` of train is held out, class by class.
    """
    rest = limited(found.train.labels, spec.train_limit)
    if found.val is not None:
        val = Chosen(found.val, torch.arange(len(found.val.labels)))
    else:
        rest, held = (rest[places] for places in stratified(found.train.labels[rest], spec.val_share, SPLIT_SEED))
        val = Chosen(found.train, held)
    if found.test is None:
        return Chosen(found.train, rest), val
    return Chosen(found.train, rest), val, Chosen(found.test, limited(found.test.labels, spec.test_limit))


def tallies_of(chosen: Sequence[Chosen], spec: DataSpec, names: list[str]) -> list[Tally]:
    """A tally for each part; a part that is held out of train shares that of train."""
    train, val = chosen[:2]
    own = val.pictures is not train.pictures
    of_train = Tally("train", len(train.places) + (0 if own else len(val.places)), spec.unreadable, names)
    of_val = Tally("val", len(val.places), spec.unreadable, names) if own else of_train
    return [of_train, of_val, *(Tally("test", len(test.places), spec.unreadable, names) for test in chosen[2:])]


def _counts(find: Callable[[DataSpec], Found], where: DataSpec) -> tuple[int, int]:
    found = find(where)
    return len(found.train.labels), len(found.classes)


_counts_once = lru_cache(maxsize=8)(_counts)


def decodes_once(spec: DataSpec, native: int | None, images: int) -> bool:
    """The rule above; `native` is the one small square size of all images, if they have one.

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
    """The places of a stratified subset of about `limit` images, fixed by the split seed."""
    if limit is None or limit >= len(labels):
        return torch.arange(len(labels))
    return stratified(labels, limit / len(labels), SPLIT_SEED)[1]


def _common(chosen: Sequence[Pictures], largest: int, cache: Path | None) -> int | None:
    first = common_side(chosen[0], largest, cache)
    same = first is not None and all(common_side(part, largest, cache) == first for part in chosen[1:])
    return first if same else None


def _memory(
    part: Pictures, spec: DataSpec, native: int | None, cache: Path | None, tally: Tally, training: bool
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


def _stream(part: Pictures, spec: DataSpec, tally: Tally) -> Split:
    return StreamSplit(part, spec, tally, stream_workers(spec))


def stream_workers(spec: DataSpec) -> int:
    """Decoding processes of a streamed split."""
    return max(0, torch.get_num_threads() - 1) if spec.workers is None else spec.workers
