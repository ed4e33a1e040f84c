"""Read torchvision's classification sets: `cifar10`, `cifar100`, and `torch/NAME` for any other one.

A set fits if its class takes `train=True` or `split="train"` and keeps its labels where torchvision's sets do: CIFAR10,
MNIST and its kin, SVHN, STL10, Flowers102, Food101, OxfordIIITPet, DTD, FGVCAircraft, ImageNet and others. All become
RGB.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torchvision.datasets as sets
from PIL import Image
from torch import Tensor

from ofb_ray.config import DataSpec
from ofb_ray.data.image_source import ListedImages, digest, label_tensor
from ofb_ray.data.names import class_names
from ofb_ray.errors import InputError, nearest

_TRAIN: tuple[dict[str, Any], ...] = ({"train": True}, {"split": "trainval"}, {"split": "train"})
_TEST: tuple[dict[str, Any], ...] = ({"train": False}, {"split": "test"}, {"split": "val"})
# Where torchvision's classes keep what they read.
_LABELS = ("targets", "labels", "_labels")
_SAMPLES = ("samples", "_samples")


@dataclass(frozen=True)
class VisionSet:
    """One part of a torchvision set."""

    images: Any
    labels: Tensor
    key: str

    def name(self, index: int) -> str:
        return f"{type(self.images).__name__} image {index}"

    def read(self, index: int) -> Image.Image:
        picture: Image.Image = self.images[index][0]
        return picture


def find(spec: DataSpec) -> ListedImages:
    """Read both parts of the set from `root`, after fetching it there if `download` says so.

    Raises:
        InputError: no such set, no `root`, files missing or damaged, or the download failed.
    """
    wanted = spec.name.partition("/")[2] or spec.name
    known = {name.lower(): name for name in sets.__all__ if _splits(getattr(sets, name))}
    plain = wanted.lower().replace("_", "").replace("-", "")
    if plain not in known:
        close = nearest(plain, list(known))
        raise InputError(f"torchvision has no classification set {wanted!r}{close}", key="data.name")
    if spec.root is None:
        raise InputError(f"{spec.name} needs `root`, the folder where torchvision keeps it", key="data.root")
    kind = getattr(sets, known[plain])
    train, test = _part(kind, spec, _TRAIN), _part(kind, spec, _TEST)
    count = int(max(train.labels.max(), test.labels.max())) + 1
    names = getattr(train.images, "classes", None) or range(count)
    return ListedImages(train, test, list(class_names(names)))


def _splits(kind: Any) -> bool:
    return bool({"train", "split"} & set(inspect.signature(kind.__init__).parameters))


def _part(kind: Any, spec: DataSpec, choices: tuple[dict[str, Any], ...]) -> VisionSet:
    takes = inspect.signature(kind.__init__).parameters
    extra = {"download": spec.download} if "download" in takes else {}
    for choice in choices:
        if not set(choice) <= set(takes):
            continue
        try:
            images = kind(str(spec.root), **choice, **extra)
        except ValueError:  # torchvision's word for a split that this set does not have
            continue
        except (RuntimeError, OSError) as error:
            raise InputError(
                f"cannot read {kind.__name__} in {spec.root}: {str(error).strip()}; put torchvision's files there"
                f"{'' if spec.download else ' or set data.download: true'}",
                key="data.root",
            ) from None
        return VisionSet(
            images, labels := _labels(images), digest(f"{spec.name}|{Path(spec.root or '').resolve()}|{choice}", labels)
        )
    raise InputError(f"torchvision's {kind.__name__} has no train and test split", key="data.name")


def _labels(images: Any) -> Tensor:
    for attribute in _LABELS:
        if (values := getattr(images, attribute, None)) is not None:
            return label_tensor([int(value) for value in values])
    for attribute in _SAMPLES:
        if (values := getattr(images, attribute, None)) is not None:
            return label_tensor([int(label) for _, label in values])
    raise InputError(f"torchvision's {type(images).__name__} keeps no labels to stratify by", key="data.name")
