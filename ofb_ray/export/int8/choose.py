"""Which layers go into int8: all if little is lost by that, else all but the most sensitive, by measured effect."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Show = Callable[[str], None]
Clock = Callable[[], float]
_STRIDE = 5


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Args:
        int8: the layers in int8.
        float32: the others with their measured errors, the most sensitive first.
        lost: in points, on the images that the choice was made on.
        met: whether that is allowed.
        out_of_time: whether the search ended by its limit.
    """

    int8: tuple[str, ...]
    float32: tuple[tuple[str, float], ...]
    lost: float
    met: bool
    out_of_time: bool = False


def choose(
    layers: Sequence[str],
    lost: Callable[[Sequence[str]], float],
    error: Callable[[str], float],
    allowed: float,
    *,
    seconds: float = math.inf,
    show: Show = lambda _: None,
    clock: Clock = time.monotonic,
) -> Choice:
    """Put as few layers back into float as it takes, in the order of their errors.

    Without a choice that loses no more than `allowed` the best one is returned; at least one layer is in int8.

    Args:
        layers: candidates, not empty.
        lost: points lost with these layers in int8.
        error: of the network's output with this layer alone in int8.
        allowed: most points.
        seconds: limit of ranking and putting back, by `clock`; ranking has half of it.
        show: told what is going on.
    """
    show(f"all {len(layers)} layers in int8")
    every = tuple(layers)
    best = Choice(every, (), value := lost(every), value <= allowed)
    if best.met:
        return best
    start, errors = clock(), dict[str, float]()
    for layer in _spread(layers):
        if clock() - start > seconds / 2:
            break
        show(f"measuring layer {len(errors) + 1} of {len(layers)} alone in int8")
        errors[layer] = error(layer)
    ranked = sorted(errors, key=errors.__getitem__, reverse=True)
    for count in range(1, min(len(ranked), len(layers) - 1) + 1):
        if clock() - start > seconds:
            return Choice(best.int8, best.float32, best.lost, False, True)
        show(f"{count} of {len(layers)} layers in float, {best.lost:.2f} points lost so far, {allowed:.2f} allowed")
        kept = ranked[:count]
        rest = tuple(layer for layer in layers if layer not in kept)
        value = lost(rest)
        if value < best.lost:
            best = Choice(rest, tuple((layer, errors[layer]) for layer in kept), value, value <= allowed)
        if best.met:
            return best
    return Choice(best.int8, best.float32, best.lost, False, len(errors) < len(layers))


def _spread(layers: Sequence[str]) -> list[str]:
    """The layers in strides, so that what a limit leaves out is of all depths and kinds."""
    return [layer for first in range(_STRIDE) for layer in layers[first::_STRIDE]]
