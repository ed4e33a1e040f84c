"""Schedules: stateless functions of progress in [0, 1]."""

from __future__ import annotations

import math


def linear_then_constant(progress: float, start: float, end: float, warmup: float) -> float:
    """Go from `start` to `end` linearly while progress < warmup, then stay: lambda, and the masked share gamma.

    Args:
        progress: in [0, 1].
        start: value at progress 0.
        end: value from `warmup` on.
        warmup: in [0, 1], in the unit of `progress`.
    """
    if progress >= warmup:
        return end
    return start + (end - start) * progress / warmup


def cosine_with_warmup(progress: float, peak: float, floor: float, warmup: float) -> float:
    """Compute a learning rate: `floor` -> `peak` linearly over `warmup`, then half a cosine back to `floor`.

    Args:
        progress: in [0, 1].
        peak: highest rate.
        floor: lowest rate; at most `peak` is used.
        warmup: in [0, 1], in the unit of `progress`.
    """
    floor = min(floor, peak)
    if progress < warmup:
        return floor + (peak - floor) * progress / warmup
    turn = (progress - warmup) / (1 - warmup) if warmup < 1 else 1.0
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(turn, 1.0)))
