"""Labelled image files or arrays, read one at a time; and what becomes of odd ones."""

from __future__ import annotations

import hashlib
import math
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ofb_ray.errors import InputError


class Pictures(Protocol):
    """Images that can be read by place.

    Args:
        labels: (N,) int64. key: changes when the images do.
    """

    @property
    def labels(self) -> Tensor: ...

    @property
    def key(self) -> str: ...

    def name(self, place: int) -> str: ...

    def read(self, place: int) -> Image.Image:
        """In any mode; it may be opened and not yet decoded."""
        ...


class Found(NamedTuple):
    """A data set whose images are listed. Labels of all parts count in `classes`.

    Args:
        val: images that select; None: a share of train is held out.
    """

    train: Pictures
    test: Pictures | None
    classes: list[str]
    val: Pictures | None = None


@dataclass(frozen=True)
class Chosen:
    """Some of the pictures, in the order of `places`."""

    pictures: Pictures
    places: Tensor

    @property
    def labels(self) -> Tensor:
        return self.pictures.labels[self.places]

    @property
    def key(self) -> str:
        places = hashlib.sha256(self.places.numpy().tobytes()).hexdigest()
        return f"{self.pictures.key}|{places}"

    def name(self, place: int) -> str:
        return self.pictures.name(int(self.places[place]))

    def read(self, place: int) -> Image.Image:
        return self.pictures.read(int(self.places[place]))


@dataclass(frozen=True)
class Array:
    """Decoded images (N, 3, height, width) uint8."""

    images: Tensor
    labels: Tensor
    key: str = "array"

    def name(self, place: int) -> str:
        return f"image {place}"

    def read(self, place: int) -> Image.Image:
        return Image.fromarray(self.images[place].permute(1, 2, 0).numpy())


class Unreadable(Exception):
    """An image cannot be decoded; the message is the decoder's reason."""


def decode(pictures: Pictures, place: int) -> Image.Image:
    """One image in RGB.

    Grey, CMYK and palette images are converted, alpha is dropped (the colour below it stays), and an EXIF rotation is
    not applied: all as timm and torchvision do, so that figures compare with theirs. 16-bit greys keep their upper
    eight bits, where Pillow alone would clip everything above 255 to white.

    Raises:
        Unreadable: an empty or truncated file, no image at all, larger than Pillow's limit, or gone meanwhile.
    """
    try:
        with warnings.catch_warnings():
            # An image between one and two times Pillow's size limit is read; odd metadata concerns no pixel.
            warnings.simplefilter("ignore")
            with pictures.read(place) as picture:
                return _rgb(picture)
    except Exception as error:  # Pillow's decoders raise whatever a broken file drives them to.
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        deep = np.asarray(picture).astype(np.int64).clip(0, 2**16 - 1)
        return Image.fromarray((deep >> 8).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


@dataclass
class Tally:
    """The unreadable images of the train or the test part, against the share that is allowed.

    Args:
        part: "train" (the held-out images are among them) or "test". images: how many there are.
        share: `data.unreadable`; floor(share * images) images may be unreadable.
        names: of all parts: `Dataset.unreadable`. own: of this one.
    """

    part: str
    images: int
    share: float
    names: list[str]
    own: list[str] = field(default_factory=list)

    def add(self, failed: Sequence[tuple[str, str]]) -> None:
        """Note (name, reason) of images and say each on stderr, once.

        Raises:
            InputError: more than the allowed share are unreadable.
        """
        for name, reason in failed:
            if name not in self.own:
                self.own.append(name)
                self.names.append(name)
                print(f"unreadable, skipped: {name} ({reason})", file=sys.stderr, flush=True)
        allowed = math.floor(self.share * self.images + 1e-9)
        if len(self.own) > allowed:
            first = ", ".join(self.own[:3]) + (", ..." if len(self.own) > 3 else "")
            raise InputError(
                f"{len(self.own)} of {self.images} {self.part} images cannot be read, {allowed} may be: {first}; "
                "mend or delete them, or allow a larger share",
                key="data.unreadable",
            )


def digest(text: str, labels: Tensor) -> str:
    """A short name for images and their labels."""
    return hashlib.sha256(text.encode(errors="surrogateescape") + labels.numpy().tobytes()).hexdigest()[:16]


def label_tensor(labels: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.asarray(labels, dtype=np.int64))
