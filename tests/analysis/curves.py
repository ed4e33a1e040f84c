"""Made-up sweeps of the shapes that fronts have: a curve of many budgets, one with seeds, clouds of near-equal MACs."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from ofb_ray.results.records import Record
from tests.analysis.factory import DENSE, record

SIX = (0.75, 0.6, 0.45, 0.3, 0.2, 0.12)
IMAGES = {"val_images": 216, "test_images": 359}


def attained(ratio: float) -> float:
    """Held-out top-1 of the selected network of a budget: near the dense network's, then falling ever faster."""
    return 98.3 - 1.1 * math.pow(1 / ratio - 1, 0.9)


def curve(suggestions: int = 3, seeds: Sequence[int] = (0,), ratios: Sequence[float] = SIX) -> list[Record]:
    """Several suggestions a budget and seed; MACs just below the budget, as a search leaves them.

    With one suggestion no parameter is explored, so that seeds repeat a setting.
    """
    draw = random.Random(0)
    cells = [(seed, number, ratio) for seed in seeds for number in range(suggestions) for ratio in ratios]
    made = []
    for trial, (seed, number, ratio) in enumerate(cells):
        top1 = round(min(99.5, attained(ratio) - 0.5 * number + draw.gauss(0, 0.25)), 2)
        changes: dict[str, Any] = {"params_explored": {}} if suggestions == 1 else {}
        dense = DENSE.model_copy(update={"top1_val": 98.6 + 0.1 * seed, "top1_test": 98.2 + 0.1 * seed})
        macs = int(ratio * DENSE.macs * draw.uniform(0.991, 0.999))
        made.append(record(trial, ratio, top1, macs=macs, seed=seed, dense=dense, environment=IMAGES, **changes))
    return made


def clouds() -> list[Record]:
    """Three budgets of four suggestions whose MACs are nearly equal and whose accuracies are a few images apart."""
    tops = {0.25: (98.15, 97.69, 97.69, 97.7), 0.5: (98.61, 98.15, 97.68, 97.69), 0.75: (98.15, 97.22, 97.69, 97.68)}
    cells = [
        (ratio, top1)
        for row in zip(*([(r, t) for t in ts] for r, ts in tops.items()), strict=True)
        for ratio, top1 in row
    ]
    return [
        record(n, ratio, top1, macs=int(ratio * DENSE.macs * (0.992 + n / 2000)), environment=IMAGES)
        for n, (ratio, top1) in enumerate(cells)
    ]
