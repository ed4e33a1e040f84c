"""Read labelled images one at a time from files or arrays, and count those that cannot be read."""

from __future__ import annotations

import contextlib
import hashlib
import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ofb_ray.errors import InputError


class ImageSource(Protocol):
    """Images that can be read by index.

    Args:
        labels: (N,) int64.
        key: changes when the images do.
    """

    @property
    def labels(self) -> Tensor: ...

    @property
    def key(self) -> str: ...

    def name(self, index: int) -> str:
        """Name an image for messages."""
        ...

    def read(self, index: int) -> Image.Image:
        """Open an image, in any mode and perhaps not yet decoded."""
        ...


class ListedImages(NamedTuple):
    """A data set whose images are listed. Labels of all parts count in `classes`.

    Args:
        classes: names in the order of the labels; empty where they are not known.
        val: images that select; None: a share of train is held out.
    """

    train: ImageSource
    test: ImageSource | None
    classes: list[str]
    val: ImageSource | None = None


@dataclass(frozen=True)
class Subset:
    """Some images of a source.

    Args:
        indices: (n,) int64, into `pictures`, in the order of this subset.
    """

    pictures: ImageSource
    indices: Tensor

    @property
    def labels(self) -> Tensor:
        return self.pictures.labels[self.indices]

    @property
    def key(self) -> str:
        indices = hashlib.sha256(self.indices.numpy().tobytes()).hexdigest()
        return f"{self.pictures.key}|{indices}"

    def name(self, index: int) -> str:
        return self.pictures.name(int(self.indices[index]))

    def read(self, index: int) -> Image.Image:
        return self.pictures.read(int(self.indices[index]))


@dataclass(frozen=True)
class Array:
    """Decoded images (N, 3, height, width) uint8."""

    images: Tensor
    labels: Tensor
    key: str = "array"

    def name(self, index: int) -> str:
        return f"image {index}"

    def read(self, index: int) -> Image.Image:
        return Image.fromarray(self.images[index].permute(1, 2, 0).numpy())


class Unreadable(Exception):
    """An image cannot be decoded; the message is the decoder's reason."""


def decode(pictures: ImageSource, index: int) -> Image.Image:
    """Decode one image to RGB.

    Grey, CMYK and palette images are converted, alpha is dropped (the colour below it stays), and an EXIF rotation is
    not applied: all as timm and torchvision do, so that figures compare with theirs. 16-bit greys keep their upper
    eight bits, where Pillow alone would clip everything above 255 to white.

    Raises:
        Unreadable: an empty or truncated file, no image at all, larger than Pillow's limit, or gone meanwhile.
    """
    with _opened(pictures, index) as picture:
        return _rgb(picture)


def mode_of(pictures: ImageSource, index: int) -> str:
    """Read the header of one image, and return Pillow's name of its pixels.

    Raises:
        Unreadable: see `decode`; a file whose pixels are broken passes.
    """
    with _opened(pictures, index) as picture:
        return picture.mode


@contextlib.contextmanager
def _opened(pictures: ImageSource, index: int) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # An image between one and two times Pillow's size limit is read; odd metadata concerns no pixel.
            warnings.simplefilter("ignore")
            with pictures.read(index) as picture:
                yield picture
    except Exception as error:  # Pillow's decoders raise whatever a broken file drives them to.
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        deep = np.asarray(picture).astype(np.int64).clip(0, 2**16 - 1)
        return Image.fromarray((deep >> 8).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


@dataclass
class Tally:
    """Counts the unreadable images of the train or the test part against the share that is allowed.

    Args:
        part: "train" (the held-out images are among them), "val" where that is a set of its own, or "test".
        images: number of images in the part.
        share: `data.unreadable`; floor(share * images) images may be unreadable.
        names: unreadable images of all parts, `Dataset.unreadable`.
        own: unreadable images of this part.
    """

    part: str
    images: int
    share: float
    names: list[str]
    own: list[str] = field(default_factory=list)

    def add(self, failed: Sequence[tuple[str, str]]) -> None:
        """Count images that cannot be read, and name each on stderr, once.

        Args:
            failed: (name, reason) of each.
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
                f"mend or delete them, or set it to {allowing(len(self.own) / self.images):g} or more",
                key="data.unreadable",
            )


def allowing(share: float) -> float:
    """Round a share of unreadable images up to what `data.unreadable` may be, in thousandths."""
    return min(0.999, math.ceil(1000 * share) / 1000)


def digest(text: str, labels: Tensor) -> str:
    """Hash what identifies images, and their labels, to 16 hexadecimal digits."""
    return hashlib.sha256(text.encode(errors="surrogateescape") + labels.numpy().tobytes()).hexdigest()[:16]


def label_tensor(labels: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.asarray(labels, dtype=np.int64))
