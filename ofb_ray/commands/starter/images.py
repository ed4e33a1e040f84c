"""Look at a folder of images: classes, counts, sizes, channels, and whether they can be read."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ofb_ray.config import DataSpec
from ofb_ray.data import folder
from ofb_ray.data.image_source import ImageSource, Unreadable, decode
from ofb_ray.data.images import SPLIT_SEED
from ofb_ray.data.names import class_names
from ofb_ray.errors import InputError, printable

SAMPLE, SECONDS = 500, 3.0  # of each part: images that are decoded, and for how long
_GREY = ("1", "L", "LA", "I", "F")
_TOO_MANY = 0.5


@dataclass(frozen=True)
class Images:
    """What was found in the folder.

    Args:
        root: the folder, as the user gave it.
        train: images of the training part, `test` of the test part, whose folder is `part`; 0 and "" without one.
        classes: their names, printable.
        fewest: images of the smallest class of the training part, `most` of the largest.
        side: median of the sampled images' shorter sides, in pixels; `least` and `greatest` of all sides.
        grey: whether no sampled image has colour.
        sampled: images that were decoded; `unreadable` names those that could not be.
        allowed: for `data.unreadable`: twice the share that was found; None where its default serves.
    """

    root: str
    train: int
    test: int
    part: str
    classes: tuple[str, ...]
    fewest: int
    most: int
    side: int
    least: int
    greatest: int
    grey: bool
    sampled: int
    unreadable: tuple[str, ...]
    allowed: float | None


@dataclass(frozen=True)
class _Seen:
    sizes: Sequence[tuple[int, int]]
    modes: Counter[str]
    broken: Sequence[str]

    @property
    def sampled(self) -> int:
        return len(self.sizes) + len(self.broken)

    @property
    def share(self) -> float:
        return len(self.broken) / self.sampled


def look(root: str) -> Images:
    """Count the images of a folder and decode some hundreds of them, chosen evenly by chance.

    Raises:
        InputError: no layout that is known, a class without images, one class alone, or half of the images are broken.
    """
    try:
        found = folder.find(DataSpec(name="folder", root=root))
    except InputError as error:
        raise InputError(error.message.replace("`data.root`", "it"), key="--data") from None
    parts = [part for part in (found.train, found.test) if part is not None]
    seen = [_sample(part) for part in parts]
    broken = [name for each in seen for name in each.broken]
    worst = max(each.share for each in seen)
    if worst > _TOO_MANY:
        raise InputError(
            f"{len(broken)} of {sum(each.sampled for each in seen)} sampled images cannot be read, such as "
            f"{printable(broken[0])}: mend the files first",
            key="--data",
        )
    sizes = [size for each in seen for size in each.sizes]
    counts = torch.bincount(found.train.labels, minlength=len(found.classes)).tolist()
    where = folder.parts_of(Path(root))[1]
    return Images(
        root=root,
        train=len(found.train.labels),
        test=len(found.test.labels) if found.test is not None else 0,
        part=where.name if where is not None else "",
        classes=class_names(found.classes),
        fewest=min(counts),
        most=max(counts),
        side=round(statistics.median(min(size) for size in sizes)),
        least=min(min(size) for size in sizes),
        greatest=max(max(size) for size in sizes),
        grey=all(mode in _GREY or mode[:2] == "I;" for each in seen for mode in each.modes),
        sampled=sum(each.sampled for each in seen),
        unreadable=tuple(map(printable, broken)),
        allowed=math.ceil(2000 * worst) / 1000 if broken else None,
    )


def described(images: Images) -> list[str]:
    """Say in a few lines what was found."""
    each = f"{images.fewest:,}" if images.fewest == images.most else f"{images.fewest:,} to {images.most:,}"
    test = f"{images.test:,} for the test ({images.part}/)" if images.test else "no test part"
    sides = f"{images.least}" if images.least == images.greatest else f"{images.least} to {images.greatest}"
    colour = "grey" if images.grey else "colour"
    lines = [
        f"images: {len(images.classes)} classes of {each} images; {images.train:,} for training, {test}; "
        f"sides of {sides} px, {colour}"
    ]
    if images.unreadable:
        names = ", ".join(images.unreadable[:2]) + (", ..." if len(images.unreadable) > 2 else "")
        lines.append(f"unreadable: {len(images.unreadable)} of {images.sampled:,} sampled images: {names}")
    return lines


def _sample(part: ImageSource) -> _Seen:
    order = torch.randperm(len(part.labels), generator=torch.Generator().manual_seed(SPLIT_SEED))[:SAMPLE]
    sizes, modes, broken = [], Counter[str](), []
    end = time.monotonic() + SECONDS
    for index in order.tolist():
        try:
            sizes.append(decode(part, index).size)
            with part.read(index) as picture:
                modes[picture.mode] += 1
        except Unreadable:
            broken.append(part.name(index))
        if time.monotonic() > end:
            break
    return _Seen(sizes, modes, broken)
