"""The images that an int8 network is made with: held-out training images; and the test split for its last number."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ofb_ray.config import DataSpec
from ofb_ray.data import Dataset, EpochPlan, Split, load
from ofb_ray.errors import InputError
from ofb_ray.export.int8.graph import Images
from ofb_ray.results.files import RECORD_FILE, SHARED_FOLDER, check_model
from ofb_ray.results.records import Record

# Both are kept in memory: at 224 pixels 0.8 GB.
CALIBRATION_IMAGES, SELECTION_IMAGES = 256, 1024
_BATCH, _SEED = 32, 0
_CPU = torch.device("cpu")
Labels = NDArray[np.int64]
Batch = tuple[Images, Labels]


class HeldOut(NamedTuple):
    """Held-out training images as the network reads them.

    Args:
        calibration: those that the ranges of activations come from.
        selection: others, on which layers are chosen.
    """

    calibration: list[Images]
    selection: list[Batch]


def load_data(record: Record, arch: Mapping[str, Any], folder: Path, root: str | None) -> Dataset:
    """Load the data set of a trial, prepared as it was.

    Args:
        folder: of the trial; decoded images beside it are used again.
        root: of the data set, where it has moved.
    Raises:
        InputError: the data set is not at hand; names the key.
    """
    data = check_model(DataSpec, record.spec["data"], str(folder / RECORD_FILE))
    if data.name.startswith("memory:"):
        raise InputError(
            "int8 needs held-out images, and this trial's lived in the process that trained it", key="data.name"
        )
    known = arch.get("input", {})
    prepared = {"mean": "mean", "std": "std", "interpolation": "interpolation", "crop": "crop_pct"}
    changes = {key: known[name] for key, name in prepared.items() if name in known}
    changes |= {} if root is None else {"root": root}
    caches = (place / SHARED_FOLDER / "data" for place in (folder.parent, folder))
    cache = next((place for place in caches if place.is_dir() and os.access(place, os.W_OK)), None)
    try:
        completed = check_model(DataSpec, {**data.model_dump(), **changes}, str(folder / RECORD_FILE))
        return load(completed, cache if root is None else None)
    except InputError as error:
        raise InputError(f"{error.message}; --data ROOT names it where it has moved", key=error.key) from None


def held_out(data: Dataset) -> HeldOut:
    """Draw held-out training images, not augmented: a quarter of them, at most 256, to calibrate, others to select."""
    split = data.val
    count = max(1, min(CALIBRATION_IMAGES, len(split) // 4))
    calibration: list[Images] = []
    selection: list[Batch] = []
    drawn = chosen = 0
    for images, labels in _shuffled(split, min(_BATCH, count)):
        if drawn < count:
            calibration.append(images)
            drawn += len(images)
        elif chosen < SELECTION_IMAGES:
            selection.append((images, labels))
            chosen += len(images)
        else:
            break
        if drawn == len(split):  # too few for two parts
            selection.append((images, labels))
    return HeldOut(calibration, selection)


def _shuffled(split: Split, batch: int) -> Iterator[Batch]:
    plan = EpochPlan(batch, _SEED, augment=False)
    for each in split.train_batches(plan, _CPU):
        if len(each.label):
            yield each.image.numpy(), each.label.numpy()


def test_batches(split: Split) -> Iterator[Batch]:
    """Yield the images of the test split in order."""
    for images, labels in split.test_batches(_BATCH, _CPU):
        if len(labels):
            yield images.numpy(), labels.numpy()


test_batches.__test__ = False  # type: ignore[attr-defined]  # no test, though pytest would collect the name
