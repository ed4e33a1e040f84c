"""What int8 costs, image by image: of the right class's probability, which few images tell well, and of top-1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofb_ray.export.int8.graph import Images, Logits
from ofb_ray.export.int8.images import Batch, Labels

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """How a network does on N images.

    Args:
        right: (N,) 1 where the first answer is right, else 0.
        probability: (N,) of the right class.
    """

    right: Floats
    probability: Floats

    @property
    def top1(self) -> float:
        """In percent."""
        return 100 * float(self.right.mean())


@dataclass(frozen=True)
class Loss:
    """What one network has less than another on the same images, in points.

    Args:
        probability: of the right class, the mean.
        top1: accuracy.
        error: standard error of `top1`.
    """

    probability: float
    top1: float
    error: float

    @property
    def points(self) -> float:
        """What is held against int8: the probability, or top-1 as far as it is beyond two standard errors."""
        return max(self.probability, self.top1 - 2 * self.error)


def score(logits: Logits, labels: Labels) -> Scores:
    """Score the logits (N, classes) of some images."""
    shares = np.exp((logits - logits.max(1, keepdims=True)).astype(np.float64))
    shares /= shares.sum(1, keepdims=True)
    return Scores((logits.argmax(1) == labels).astype(np.float64), shares[np.arange(len(labels)), labels])


def joined(parts: Sequence[Scores]) -> Scores:
    """Put the scores of several batches together."""
    return Scores(np.concatenate([each.right for each in parts]), np.concatenate([each.probability for each in parts]))


def scores(run: Callable[[Images], Logits], batches: Iterable[Batch]) -> Scores:
    """Score a network on labelled images."""
    return joined([score(run(images), labels) for images, labels in batches])


def loss(exact: Scores, other: Scores) -> Loss:
    """Compare two networks on the same images."""
    right = 100 * (exact.right - other.right)
    probability = 100 * float((exact.probability - other.probability).mean())
    return Loss(probability, float(right.mean()), float(right.std()) / math.sqrt(len(right)))
