"""Which layers go into int8: all if that costs little, else all but the most sensitive, by measured effect."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Show = Callable[[str], None]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Args:
        int8: the layers in int8.
        float32: the others with their measured errors, the most sensitive first.
        top1: in percent, on the images that the choice was made on.
        met: whether that is what was wanted.
        out_of_time: whether the search ended by its limit.
    """

    int8: tuple[str, ...]
    float32: tuple[tuple[str, float], ...]
    top1: float
    met: bool
    out_of_time: bool = False


def choose(
    layers: Sequence[str],
    top1: Callable[[Sequence[str]], float],
    error: Callable[[str], float],
    wanted: float,
    *,
    seconds: float = math.inf,
    show: Show = lambda _: None,
    clock: Clock = time.monotonic,
) -> Choice:
    """Put as few layers back into float as it takes, in the order of their errors.

    Without a choice that meets `wanted` the best one is returned; at least one layer is in int8.

    Args:
        layers: candidates, not empty.
        top1: accuracy in percent with these layers in int8.
        error: of the network's output with this layer alone in int8.
        wanted: least accuracy.
        seconds: limit of ranking and putting back, by `clock`; ranking has half of it.
        show: told what is going on.
    """
    show(f"all {len(layers)} layers in int8")
    every = tuple(layers)
    best = Choice(every, (), value := top1(every), value >= wanted)
    if best.met:
        return best
    start, errors = clock(), dict[str, float]()
    for layer in layers:
        if clock() - start > seconds / 2:
            break
        show(f"measuring layer {len(errors) + 1} of {len(layers)} alone in int8")
        errors[layer] = error(layer)
    ranked = sorted(errors, key=errors.__getitem__, reverse=True)
    for count in range(1, min(len(ranked), len(layers) - 1) + 1):
        if clock() - start > seconds:
            return Choice(best.int8, best.float32, best.top1, False, True)
        show(f"{count} of {len(layers)} layers in float, top-1 {best.top1:.2f} so far, wanted {wanted:.2f}")
        kept = ranked[:count]
        rest = tuple(layer for layer in layers if layer not in kept)
        value = top1(rest)
        if value > best.top1 or value >= wanted:
            best = Choice(rest, tuple((layer, errors[layer]) for layer in kept), value, value >= wanted)
        if best.met:
            return best
    return Choice(best.int8, best.float32, best.top1, False, len(errors) < len(layers))
