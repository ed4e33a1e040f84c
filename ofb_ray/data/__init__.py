"""Register the data sets: by name, what loads them and what counts their images without decoding any."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ofb_ray.config import DataSpec
from ofb_ray.data import digits, folder, hub, mapstyle, scenes, vision
from ofb_ray.data.base import Batch, Dataset, EpochPlan, Facts, Split, steps
from ofb_ray.data.images import Images
from ofb_ray.data.transforms import MEAN, STD, per_channel


class Source(Protocol):
    """Reads one kind of data set."""

    def load(self, spec: DataSpec, cache: Path | None = None) -> Dataset: ...

    def facts(self, spec: DataSpec) -> Facts: ...


# A name, or what stands before the slash of one.
SETS: dict[str, Source] = {
    "digits": digits,
    "scenes": scenes,
    "folder": Images(folder.find),
    "cifar10": Images(vision.find, fixed=True),
    "cifar100": Images(vision.find, fixed=True),
    "torch": Images(vision.find, fixed=True),
    "hfds": Images(hub.find, fixed=True),
}
# The bundled sets: their means and standard deviations.
_STATISTICS = {"digits": (digits.MEAN, digits.STD), "scenes": (scenes.MEAN, scenes.STD)}
# Training images and classes.
_CIFAR: dict[str, tuple[int | None, int | None]] = {"cifar10": (50_000, 10), "cifar100": (50_000, 100)}


def load(spec: DataSpec, cache: Path | None = None) -> Dataset:
    """Load the data set of a spec.

    Args:
        cache: folder through which decoded images are shared; None keeps them in memory.
    """
    return _source(spec).load(spec, cache)


def completed(spec: DataSpec) -> DataSpec:
    """Fill in what a spec leaves open: normalisation, interpolation, test crop."""
    if spec.by_function:
        return mapstyle.completed(spec)
    mean, std = _STATISTICS.get(spec.name, (MEAN, STD))
    return spec.model_copy(
        update={
            "mean": per_channel(spec.mean or mean, len(mean), "mean"),
            "std": per_channel(spec.std or std, len(std), "std"),
            "interpolation": spec.interpolation or "bicubic",
            "crop": spec.crop or 1.0,
        }
    )


def facts(spec: DataSpec) -> Facts:
    """Count images, classes and channels without decoding.

    Raises:
        InputError: the data set's files are missing.
    """
    return _source(spec).facts(spec)


def declared(spec: DataSpec) -> Facts | None:
    """Return the facts that the spec or the name of its set states, for a dry run without data; None if it does not."""
    if spec.name in _STATISTICS:
        return facts(spec)
    images, classes = _CIFAR.get(spec.name, (spec.train_images, spec.classes))
    if images is None or classes is None:
        return None
    return Facts(min(spec.train_limit or images, images), classes, spec.channels or 3)


def _source(spec: DataSpec) -> Source:
    return mapstyle if spec.by_function else SETS[spec.name.partition("/")[0]]


__all__ = ["Batch", "Dataset", "EpochPlan", "Facts", "Split", "completed", "declared", "facts", "load", "steps"]
