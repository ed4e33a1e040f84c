"""Compose scenes from the bundled digits: a whole digit among cut-off pieces of others, 16 x 16 pixels. No download.

A scene's label is the class of its whole digit, which stands at one of nine places and covers what lies below it;
pieces lie anywhere, and a slope of grey and noise are added. The digits are split before anything is composed: none is
in two splits, whole or as a piece.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ofb_ray.config import DataSpec
from ofb_ray.data.base import Dataset, Facts, stratified
from ofb_ray.data.digits import NAMES, bundled
from ofb_ray.data.memory import MemorySplit
from ofb_ray.errors import InputError

# Scenes, those of the training split with its held-out part.
TRAIN_SCENES, TEST_SCENES = 12_000, 6_000
# The part of the digits that test scenes are made of.
TEST_SHARE = 0.3
SIDE, DIGIT, CLASSES = 16, 8, 10
MEAN, STD = (0.19,), (0.221,)
SEED = 0

# Whole digits stand at multiples of these pixels: at every place, a small network needs far more images.
STEP = 4
PIECES = 4
# Rows or columns that a piece keeps of its digit, at most; it may hang over the scene's edge by as many pixels.
PIECE_MIN, PIECE_MAX, OVERHANG = 3, 5, 4
# In grey levels of 255: the brightest ink of a scene, its darkest ground, its slope for each pixel, its noise.
INK, GROUND, SLOPE, NOISE = (140, 200), (0, 40), (-2, 2), (-15, 15)

Array = npt.NDArray[np.int16]


class Part(NamedTuple):
    """Digits or scenes: images (N, 1, side, side) uint8, labels (N,) int64."""

    images: torch.Tensor
    labels: torch.Tensor


class Digits(NamedTuple):
    """Digits by the split whose scenes they are for: indices into `bundled()`."""

    train: torch.Tensor
    val: torch.Tensor
    test: torch.Tensor


def load(spec: DataSpec, cache: Path | None = None) -> Dataset:
    """Compose the scenes of all splits, whatever the trial's seed; limits take the first scenes.

    Args:
        cache: unused; composing takes less than a second.
    Raises:
        InputError: `val_share` leaves a class without digits or scenes.
    """
    del cache
    images, labels = bundled()
    digits, held = split_digits(labels, spec.val_share), round(TRAIN_SCENES * spec.val_share)
    mean, std, shift = spec.mean or MEAN, spec.std or STD, spec.augment.kind == "crop_flip"

    def split(index: torch.Tensor, count: int, seed: int, limit: int | None) -> MemorySplit:
        made = compose(Part(images[index], labels[index]), count, seed)
        pixels, classes, how = made.images[:limit], made.labels[:limit], spec.interpolation or "bicubic"
        return MemorySplit(pixels, classes, 255.0, mean, std, spec.image_size, shift, how)

    train = split(digits.train, TRAIN_SCENES - held, SEED, spec.train_limit)
    val, test = split(digits.val, held, SEED + 1, None), split(digits.test, TEST_SCENES, SEED + 2, spec.test_limit)
    return Dataset(train, val, test, classes=CLASSES, channels=1, class_names=NAMES)


def facts(spec: DataSpec) -> Facts:
    """Count the training scenes without composing them.

    Raises:
        InputError: as `load` does.
    """
    split_digits(bundled()[1], spec.val_share)
    return Facts(min(spec.train_limit or TRAIN_SCENES, TRAIN_SCENES), CLASSES, 1)


def split_digits(labels: torch.Tensor, val_share: float) -> Digits:
    """Split the digits class by class, as digits and not yet as scenes.

    Args:
        labels: (N,) of all digits.
        val_share: part of the digits, the test's apart, that held-out scenes are made of.
    Raises:
        InputError: `val_share` leaves a class without digits or scenes.
    """
    rest, test = stratified(labels, TEST_SHARE, SEED)
    train, val = stratified(labels[rest], val_share, SEED)
    if len(torch.unique(labels[rest][train])) < CLASSES or round(TRAIN_SCENES * val_share) < CLASSES:
        raise InputError(
            f"{val_share:g} leaves no digits for a class, in training or held out; 0.15 is usual", key="data.val_share"
        )
    return Digits(rest[train], rest[val], test)


def compose(digits: Part, count: int, seed: int) -> Part:
    """Draw scenes, the classes in turn, and each digit of a class whole in as many scenes as the others.

    Args:
        digits: to draw from, images (N, 1, 8, 8) of 0 to 16, of every class.
        count: number of scenes.
        seed: of everything that is drawn.
    """
    draw, sources = _Draw(seed), digits.images[:, 0].numpy().astype(np.int16)
    whole = _in_turn(digits.labels.numpy(), count)
    frame = SIDE + 2 * OVERHANG
    ink = np.zeros((count, frame, frame), np.int16)
    for _ in range(PIECES):
        other = (whole + draw(1, len(sources) - 1, count)) % len(sources)
        box = _box(draw(0, frame - DIGIT, count), draw(0, frame - DIGIT, count))
        ink[box] = np.maximum(ink[box], sources[other] * _kept(draw, count))
    steps = (SIDE - DIGIT) // STEP
    ink[_box(OVERHANG + STEP * draw(0, steps, count), OVERHANG + STEP * draw(0, steps, count))] = sources[whole]
    ink = ink[:, OVERHANG:-OVERHANG, OVERHANG:-OVERHANG] * draw(*INK, count, 1, 1) // 16
    line = np.arange(SIDE, dtype=np.int16)
    slope = draw(*SLOPE, count, 1, 1) * line[:, None] + draw(*SLOPE, count, 1, 1) * line
    grey = ink + slope + draw(*GROUND, count, 1, 1) + draw(*NOISE, count, SIDE, SIDE)
    images = torch.from_numpy(np.clip(grey, 0, 255).astype(np.uint8))
    return Part(images[:, None], digits.labels[torch.from_numpy(whole)])


class _Draw:
    """Draws whole numbers from the raw words of PCG64: NumPy keeps this stream for ever, not that of `Generator`."""

    def __init__(self, seed: int) -> None:
        self._words = np.random.PCG64(seed)

    def __call__(self, low: int, high: int, *shape: int) -> Array:
        """Draw from `low` to `high`, both included, at most 2^16 numbers apart, in the given shape."""
        raw = self._words.random_raw(int(np.prod(shape))) >> np.uint64(48)
        return (low + (raw.astype(np.int64) * (high - low + 1) >> 16)).astype(np.int16).reshape(shape)


def _in_turn(labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Index (count,) of a digit of class 0, 1, .. 9, 0, .. in turn, a class's digits in turn as well."""
    whole = np.empty(count, np.int64)
    for label in range(CLASSES):
        own = np.flatnonzero(labels == label)
        whole[label::CLASSES] = np.resize(own, len(whole[label::CLASSES]))
    return whole


def _kept(draw: _Draw, count: int) -> Array:
    """Mask (count, 8, 8) of ones where a piece has its digit's first or last rows or columns."""
    line = np.arange(DIGIT)
    from_end, columns = draw(0, 1, count, 1) == 1, draw(0, 1, count, 1, 1) == 1
    kept = np.where(from_end, DIGIT - 1 - line, line) < draw(PIECE_MIN, PIECE_MAX, count, 1)
    return np.where(columns, kept[:, None, :], kept[:, :, None]).astype(np.int16)


def _box(top: Array, left: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of one box of 8 x 8 pixels in every scene, from its upper left corners (count,)."""
    line, scene = np.arange(DIGIT), np.arange(len(top))
    return scene[:, None, None], top[:, None, None] + line[:, None], left[:, None, None] + line
