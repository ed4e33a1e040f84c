"""Map-style datasets of (image, label), as torchvision's and torch's are: their labels, and what their images are.

PIL images, uint8 arrays (height, width[, 3]) and uint8 tensors (C, height, width) are pictures: they are decoded,
cached, resized and augmented like those of every other data set. Float tensors (C, height, width) come out of a
transform of the user's and are taken as they are (`prepared.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from ofb_ray.data.image_source import digest, label_tensor
from ofb_ray.data.loader import seeded
from ofb_ray.errors import InputError

# Where torchvision's classes keep what they read.
_LABELS = ("targets", "labels", "_labels")
_SAMPLES = ("samples", "_samples", "imgs")
_PROBES = 8
_DRAWS = 4
_GREY = ("1", "L", "I", "F")


class Kind(NamedTuple):
    """What the images of a dataset are.

    Args:
        prepared: float tensors, taken as they are. shape: of these, (C, height, width); of pictures (C,).
    """

    prepared: bool
    shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def words(self) -> str:
        """For messages."""
        shape = " x ".join(map(str, self.shape))
        return (
            f"float tensors of {shape}" if self.prepared else f"pictures of {shape} channel{'s' * (self.shape != (1,))}"
        )


@dataclass(frozen=True)
class Items:
    """The pictures of a map-style dataset. `ImageSource` is what it fulfils.

    Args:
        part: its name for messages. grey: give them with one channel.
    """

    dataset: Any
    part: str
    labels: Tensor
    key: str = field(compare=False)
    grey: bool = False

    def name(self, index: int) -> str:
        return f"{self.part} image {index} of {type(self.dataset).__name__}"

    def read(self, index: int) -> Image.Image:
        image = as_picture(pair(self.dataset, index, self.part)[0], self.part)
        return image.convert("L") if self.grey and image.mode not in _GREY and image.mode[:2] != "I;" else image


def pair(dataset: Any, index: int, part: str) -> tuple[Any, Any]:
    """Item `index` as (image, label); a mapping gives them under these names.

    Raises:
        InputError: it is something else, or the dataset fails.
    """
    try:
        item = dataset[index]
    except Exception as error:  # whatever a user's code raises
        raise InputError(
            f"item {index} of its {part} set cannot be read: {one_line(error)}", key="data.name"
        ) from error
    if isinstance(item, Mapping) and {"image", "label"} <= item.keys():
        return item["image"], item["label"]
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    raise InputError(
        f"item {index} of its {part} set is {_described(item)}, not (image, label)",
        key="data.name",
    )


def as_picture(image: Any, part: str) -> Image.Image:
    """A PIL image of what is one, or of uint8 pixels.

    Raises:
        InputError: neither, or a number of channels that is no picture's.
    """
    if isinstance(image, Image.Image):
        return image
    pixels = image
    if isinstance(image, Tensor) and image.dtype == torch.uint8:
        pixels = (image.permute(1, 2, 0) if image.dim() == 3 else image).cpu().numpy()
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8:
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4)):
            return Image.fromarray(np.ascontiguousarray(pixels))
    raise InputError(
        f"the images of its {part} set are {_described(image)}: give PIL images, uint8 pixels (arrays (height, width, "
        "3), tensors (3, height, width), or one channel) or float tensors (C, height, width)",
        key="data.name",
    )


def kind_of(dataset: Any, part: str, channels: int | None = None) -> Kind:
    """Look at a few images, spread over the dataset.

    Args:
        channels: 1 or 3, which pictures are converted to; None: all must have as many.
    Raises:
        InputError: they are of different channels, kinds or (float tensors) sizes, or pictures that change from one
            look to the next: a random transform, which decoding once would freeze.
    """
    indices = probes(len(dataset))
    kinds = [_kind(pair(dataset, index, part)[0], part, channels) for index in indices]
    for index, kind in zip(indices, kinds, strict=True):
        if kind != kinds[0]:
            raise InputError(
                f"its {part} set gives {kinds[0].words} and, at {index}, {kind.words}: all must be alike "
                "(data.channels converts pictures to 1 or 3)",
                key="data.name",
            )
    if not kinds[0].prepared and len({_seen(dataset, indices[0], part, seed) for seed in range(_DRAWS)}) > 1:
        raise InputError(
            f"image {indices[0]} of its {part} set changes each time it is read: give pictures without random "
            "transform (data.augment brings its own), or float tensors",
            key="data.name",
        )
    return kinds[0]


def labels_of(dataset: Any, part: str) -> Tensor:
    """(N,) int64: where the dataset keeps them, if a few items agree; else from every item.

    Raises:
        InputError: a label is not a whole number of 0 or more.
    """
    stored = _stored_labels(dataset)
    if stored is not None and len(stored) == len(dataset):
        with contextlib.suppress(TypeError, ValueError):
            known = [int(label) for label in stored]
            if all(known[index] == _label(dataset, index, part) for index in probes(len(dataset))):
                return _checked(known, part)
    return _checked([_label(dataset, index, part) for index in range(len(dataset))], part)


def fingerprint(dataset: Any, labels: Tensor, part: str) -> str:
    """A short name for a dataset: its labels and the pixels of a few of its images."""
    looks = "|".join(_seen(dataset, index, part, 0) for index in probes(len(dataset)))
    return digest(f"{len(dataset)}|{looks}", labels)


def probes(count: int) -> list[int]:
    """A few indices, the first and the last among them."""
    return sorted({index * (count - 1) // (_PROBES - 1) for index in range(_PROBES)})


def one_line(error: BaseException) -> str:
    """An error's class and the start of its message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(": ")


def _seen(dataset: Any, index: int, part: str, seed: int) -> str:
    with seeded(seed):
        image = pair(dataset, index, part)[0]
        pixels = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def _kind(image: Any, part: str, channels: int | None) -> Kind:
    if isinstance(image, Tensor) and image.is_floating_point() and image.dim() == 3:
        return Kind(True, tuple(image.shape))
    picture = as_picture(image, part)
    grey = picture.mode in _GREY or picture.mode[:2] == "I;"
    return Kind(False, (channels or (1 if grey else 3),))


def _described(item: Any) -> str:
    if isinstance(item, Tensor):
        return f"a {str(item.dtype).removeprefix('torch.')} tensor of shape {tuple(item.shape)}"
    if isinstance(item, np.ndarray):
        return f"a {item.dtype} array of shape {item.shape}"
    if isinstance(item, tuple | list):
        return f"a {type(item).__name__} of {len(item)} ({', '.join(type(each).__name__ for each in item[:4])})"
    return f"of type {type(item).__name__}"


def _label(dataset: Any, index: int, part: str) -> int:
    label = pair(dataset, index, part)[1]
    with contextlib.suppress(TypeError, ValueError, RuntimeError):
        whole = int(label)
        if whole == label:  # neither "3" nor 3.5
            return whole
    raise InputError(
        f"the label of item {index} of its {part} set is {label!r:.80}, not a whole number from 0 on", key="data.name"
    )


def _checked(labels: list[int], part: str) -> Tensor:
    if labels and min(labels) < 0:
        index = next(index for index, label in enumerate(labels) if label < 0)
        raise InputError(
            f"the label of item {index} of its {part} set is {labels[index]}; labels go from 0 to the number of "
            "classes minus one",
            key="data.name",
        )
    return label_tensor(labels)


def _stored_labels(dataset: Any) -> Any:
    if isinstance(dataset, Subset):
        inner = _stored_labels(dataset.dataset)
        return None if inner is None else [inner[index] for index in dataset.indices]
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[-1].tolist() if dataset.tensors[-1].dim() == 1 else None
    for attribute in _LABELS:
        if (values := getattr(dataset, attribute, None)) is not None:
            return values
    for attribute in _SAMPLES:
        values = getattr(dataset, attribute, None)
        if (
            isinstance(values, list | tuple)
            and values
            and all(isinstance(each, tuple) and len(each) == 2 for each in values)
        ):
            return [label for _, label in values]
    columns = getattr(dataset, "column_names", None)
    return dataset["label"] if isinstance(columns, list) and "label" in columns else None
