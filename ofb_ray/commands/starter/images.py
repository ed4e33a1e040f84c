"""Look at a folder of images: classes, counts, sizes, channels, and whether they can be read."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ofb_ray.config import DataSpec
from ofb_ray.data import folder
from ofb_ray.data.image_source import ImageSource
from ofb_ray.data.names import class_names
from ofb_ray.data.survey import Survey, lost_classes, survey
from ofb_ray.errors import InputError, printable

SECONDS = 3.0  # of each part: how long images are decoded, and as long headers read
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
        decoded: images that were decoded, chosen by chance, and `opened` others whose headers were read.
        unreadable: names of those of both that cannot be read.
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
    decoded: int
    opened: int
    unreadable: tuple[str, ...]
    allowed: float | None


def look(root: str) -> Images:
    """Count the images of a folder, and decode as many as some seconds allow.

    Raises:
        InputError: no layout that is known, a class without images, or without one that can be read, one class alone,
            or half of the images are broken.
    """
    try:
        found = folder.find(DataSpec(name="folder", root=root))
    except InputError as error:
        raise InputError(error.message.replace("`data.root`", "it"), key="--data") from None
    parts = [part for part in (found.train, found.test) if part is not None]
    seen = [survey(part, SECONDS) for part in parts]
    broken = [part.name(index) for part, each in zip(parts, seen, strict=True) for index in each.broken]
    worst = max(seen, key=lambda each: each.share)
    if worst.share > _TOO_MANY:
        count = f"{len(broken):,} of {sum(each.decoded + each.opened for each in seen):,} images"
        raise InputError(f"{count} cannot be read, such as {printable(broken[0])}: mend the files first", key="--data")
    for part, each in zip(parts, seen, strict=True):
        _check_classes(part, each, found.classes)
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
        decoded=sum(each.decoded for each in seen),
        opened=sum(each.opened for each in seen),
        unreadable=tuple(map(printable, broken)),
        allowed=worst.allowed if broken else None,
    )


def _check_classes(part: ImageSource, seen: Survey, classes: Sequence[str]) -> None:
    lost = lost_classes(part, list(seen.broken))
    if lost:
        index = next(index for index in seen.broken if int(part.labels[index]) == lost[0])
        raise InputError(
            f"no image of class {classes[lost[0]]!r} can be read, such as {printable(part.name(index))}: replace them, "
            "or remove the class",
            key="--data",
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
    total = images.train + images.test
    how = f"{images.decoded:,} of {total:,} decoded, chosen by chance, the headers of {images.opened:,} more read"
    if images.decoded == total:
        how = f"all {total:,} decoded"
    if images.unreadable:
        names = ", ".join(images.unreadable[:3]) + (", ..." if len(images.unreadable) > 3 else "")
        lines.append(f"unreadable: {len(images.unreadable):,} images ({how}): {names}")
        lines.append(f"  skipped, as the sweep sets data.unreadable to {images.allowed:g}; or mend or delete them")
    else:
        lines.append(f"unreadable: none ({how})")
    return lines
