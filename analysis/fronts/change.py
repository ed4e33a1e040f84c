"""Compare subnets with the dense networks that they were made of, and say how sure the difference is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Literal

from analysis.fronts.seeds import CONFIDENCE, Spread, spread
from ofb_ray.results.history import images_of
from ofb_ray.results.records import Record

Split = Literal["test", "val"]
_SPLITS: tuple[Split, ...] = ("test", "val")


@dataclass(frozen=True)
class Change:
    """Top-1 of subnets minus that of their own dense networks, in points of top-1.

    Args:
        split: the test split, or the held-out one where test was not measured.
        over: the differences over the seeds.
        half: half the width of the 95 % interval of their mean; None where nothing tells it.
        images: of the split, where their number alone gives the interval: it leaves out chance in training.
    """

    split: Split
    over: Spread
    half: float | None
    images: int | None = None


def change_of(records: Sequence[Record]) -> Change | None:
    """Compare one subnet a seed with its dense network; None where none has both accuracies on one split.

    Seeds give a t interval. One seed, or seeds that agree by chance to the last digit, give the binomial interval of
    a difference of two accuracies, where the records state the split's size. It takes the two for independent, which
    makes it too wide rather than too narrow: both networks saw the same images.
    """
    for split in _SPLITS:
        column = f"top1_{split}"
        pairs = [(getattr(each.subnet, column, None), getattr(each.dense, column, None)) for each in records]
        known = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
        over = spread([ours - theirs for ours, theirs in known])
        if over is None:
            continue
        if over.deviation:
            return Change(split, over, over.interval)
        images = images_in(records, split)
        if not images:
            return Change(split, over, None)
        means = [fmean(values) for values in zip(*known, strict=True)]
        return Change(split, over, binomial(means, images), images)
    return None


def images_in(records: Sequence[Record], split: Split) -> int | None:
    """Return how many images the split of all these records has; None where one does not state it or they differ."""
    sizes = {images_of(record, split) for record in records}
    return sizes.pop() if len(sizes) == 1 else None


def unsure(accuracy: float, images: int) -> tuple[float, float]:
    """Return the accuracies (percentages) between which another network is not told apart from one of this accuracy."""
    low = high = accuracy
    # The width depends on the other network's accuracy too: a fixed point, which some steps come near enough to.
    for _ in range(20):
        low = max(0.0, accuracy - binomial([accuracy, low], images))
        high = min(100.0, accuracy + binomial([accuracy, high], images))
    return low, high


def binomial(accuracies: Sequence[float], images: int) -> float:
    """Return half the 95 % interval, in points, of the difference of accuracies (percentages) on so many images."""
    # One more hit and one more miss, so that a perfect score does not pass for a certain one.
    shares = [(each / 100 * images + 1) / (images + 2) for each in accuracies]
    return 100 * NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(sum(p * (1 - p) / images for p in shares))
