"""Data sets of a user's own: the map-style datasets that a function returns, or that lie in this process' memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data import IterableDataset

from ofb_ray.config import DataSpec
from ofb_ray.data.base import Batch, Dataset, EpochPlan, Facts, NoSplit, Split
from ofb_ray.data.function import call
from ofb_ray.data.image_source import ListedImages
from ofb_ray.data.images import assemble, choose, stream_workers, tallies_of
from ofb_ray.data.items import Items, Kind, fingerprint, kind_of, labels_of
from ofb_ray.data.names import class_names, names_of
from ofb_ray.data.prepared import PreparedSplit
from ofb_ray.data.transforms import MEAN, STD, per_channel, train_transform
from ofb_ray.errors import InputError

MEMORY = "memory:"
_KEY = "data.name"


@dataclass(frozen=True)
class Sets:
    """The datasets of a function, looked at.

    Args:
        classes: the highest label plus one, or more where it is declared.
    """

    train: Items
    val: Items | None
    test: Items | None
    kind: Kind
    classes: int


class Remembered(NamedTuple):
    """Datasets by part, and their labels, which may have to be read item by item."""

    parts: Mapping[str, Any]
    labels: Mapping[str, Tensor]


_memory: dict[str, Remembered] = {}


def remember(train: Any, val: Any = None, test: Any = None) -> str:
    """Keep datasets for this process; the name under which `DataSpec` finds them, a hash of labels and some pixels.

    Raises:
        InputError: a dataset does not fit, see `facts`.
    """
    parts = {name: part for name, part in (("train", train), ("val", val), ("test", test)) if part is not None}
    _check_shape(parts)
    labels = {name: labels_of(part, name) for name, part in parts.items()}
    looks = [f"{name}:{fingerprint(part, labels[name], name)}" for name, part in parts.items()]
    name = MEMORY + hashlib.sha256("|".join(looks).encode()).hexdigest()[:16]
    _memory[name] = Remembered(parts, labels)
    _opened.cache_clear()  # the same hash may have stood for other objects
    return name


def load(spec: DataSpec, cache: Path | None = None) -> Dataset:
    """The splits; `val_share` of train is held out where there is no val.

    Raises:
        InputError: as `facts`; float tensors with an augmentation or of another size than image_size.
    """
    sets = _sets(spec)
    names = names_of(sets.train.dataset, sets.classes)
    found = ListedImages(sets.train, sets.test, list(names), sets.val)
    if sets.kind.prepared:
        return _prepared(sets, found, spec)
    made = assemble(found, sets.classes, spec, cache)
    if sets.kind.channels == 3:
        return made
    train, val, test = (GreySplit(split) for split in (made.train, made.val, made.test))
    return replace(made, train=train, val=val, test=test, channels=1)


def facts(spec: DataSpec) -> Facts:
    """Import and call the function, look at labels and a few images, and count.

    Raises:
        InputError: no such module or function, it fails, or what it returns does not fit; in one line.
    """
    train_transform(spec)
    sets = _sets(spec)
    _check_prepared(sets, spec)
    images = len(sets.train.labels)
    if spec.train_images not in (None, images):
        raise InputError(
            f"is {spec.train_images}, but the data set has {images}; correct or drop it", key="data.train_images"
        )
    return Facts(min(spec.train_limit or images, images), sets.classes, sets.kind.channels)


def completed(spec: DataSpec) -> DataSpec:
    """The spec with what it leaves open as it will be used; of prepared tensors nothing is known but what it says."""
    kind = _sets(spec).kind
    if kind.prepared:
        return spec
    known: dict[str, Any] = {
        "mean": per_channel(spec.mean or MEAN, kind.channels, "mean"),
        "std": per_channel(spec.std or STD, kind.channels, "std"),
        "interpolation": spec.interpolation or "bicubic",
        "crop": spec.crop or 1.0,
    }
    return spec.model_copy(update=known)


@dataclass(frozen=True)
class GreySplit:
    """The first channel of pictures whose channels are all equal."""

    split: Split

    def __len__(self) -> int:
        return len(self.split)

    def train_batches(self, plan: EpochPlan, device: Any) -> Iterator[Batch]:
        """See `Split`."""
        for batch in self.split.train_batches(plan, device):
            yield batch._replace(image=batch.image[:, :1].contiguous())

    def test_batches(
        self, batch_size: int, device: Any, rank: int = 0, world: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Split`."""
        for image, label in self.split.test_batches(batch_size, device, rank, world):
            yield image[:, :1].contiguous(), label


def _check_prepared(sets: Sets, spec: DataSpec) -> None:
    if not sets.kind.prepared:
        return
    _, *sides = sets.kind.shape
    if sides != [spec.image_size] * 2:
        raise InputError(
            f"is {spec.image_size}, but the float tensors are {sides[0]} x {sides[1]} and are taken as they are: let "
            "the transform resize them, or change this",
            key="data.image_size",
        )
    if spec.augment.kind != "none":
        raise InputError("float tensors are taken as they are: let the transform augment them", key="data.augment")


def _prepared(sets: Sets, found: ListedImages, spec: DataSpec) -> Dataset:
    _check_prepared(sets, spec)
    names: list[str] = []
    chosen = choose(found, spec)
    splits = [
        PreparedSplit(part, spec, tally, stream_workers(spec), sets.kind.shape)
        for part, tally in zip(chosen, tallies_of(chosen, spec, names), strict=True)
    ]
    test = splits[2] if len(splits) > 2 else NoSplit()
    called = class_names(found.classes)
    return Dataset(splits[0], splits[1], test, sets.classes, sets.kind.channels, names, called)


def _sets(spec: DataSpec) -> Sets:
    return _opened(spec.name, json.dumps(spec.args or {}, sort_keys=True), spec.channels, spec.classes)


@lru_cache(maxsize=4)
def _opened(name: str, args: str, channels: int | None, classes: int | None) -> Sets:
    """Called once a process: the function may read files, and labels may have to be read item by item."""
    if name.startswith(MEMORY):
        if name not in _memory:
            raise InputError("these datasets were in the memory of another process: pass them again", key=_KEY)
        parts, labels = _memory[name]
        return _looked_at(parts, labels, name, channels, classes)
    parts = call(name, json.loads(args))
    _check_shape(parts)
    labels = {name: labels_of(part, name) for name, part in parts.items()}
    return _looked_at(parts, labels, f"{name}|{args}", channels, classes)


def _looked_at(
    parts: Mapping[str, Any], labels: Mapping[str, Tensor], key: str, channels: int | None, classes: int | None
) -> Sets:
    """Datasets with the kind of their images.

    Args:
        key: what the names of cached images start from.
        channels: to convert pictures to; None: all are as the first. classes: as declared; None: counted.
    """
    kinds = {name: kind_of(part, name, channels) for name, part in parts.items()}
    for name, kind in kinds.items():
        if kind != kinds["train"]:
            raise InputError(f"its {name} set gives {kind.words}, its train set {kinds['train'].words}", key=_KEY)
    count = _count_classes(labels, classes)
    grey = not kinds["train"].prepared and kinds["train"].channels == 1
    items = {
        name: Items(part, name, labels[name], f"{key}|{name}|{grey}|{fingerprint(part, labels[name], name)}", grey)
        for name, part in parts.items()
    }
    return Sets(items["train"], items.get("val"), items.get("test"), kinds["train"], count)


def _count_classes(labels: Mapping[str, Tensor], declared: int | None) -> int:
    highest = max(int(each.max()) for each in labels.values())
    if declared is not None:
        if highest >= declared:
            raise InputError(f"is {declared}, but there is a label {highest}", key="data.classes")
        return declared
    if gone := sorted(set(range(highest + 1)) - set(labels["train"].tolist())):
        shown = ", ".join(map(str, gone[:5])) + (", ..." if len(gone) > 5 else "")
        raise InputError(
            f"labels go up to {highest}, but no image of its train set has {shown}: number the classes from 0 without "
            "gaps, or declare their count as data.classes",
            key=_KEY,
        )
    if highest < 1:
        raise InputError("all labels are 0: at least two classes are needed", key=_KEY)
    return highest + 1


def _check_shape(parts: Mapping[str, Any]) -> None:
    for name, part in parts.items():
        if isinstance(part, IterableDataset):
            raise InputError(f"its {name} set is a stream (IterableDataset): a map-style dataset is needed", key=_KEY)
        if not hasattr(part, "__len__") or not hasattr(part, "__getitem__") or isinstance(part, str | bytes | Mapping):
            raise InputError(
                f"its {name} set is of type {type(part).__name__}: a map-style dataset is needed, with len() and items "
                "(image, label)",
                key=_KEY,
            )
        if not len(part):
            raise InputError(f"its {name} set is empty", key=_KEY)
