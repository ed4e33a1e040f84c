"""Which axes may shrink and how far, chosen by patterns over their names (`search.space.only`, `keep`, `minima`)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from fnmatch import fnmatchcase

from ofb_ray.config import SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.method.axis import Axis

_NEAREST = 3


def restrict(axes: Sequence[Axis], space: SpaceSpec) -> tuple[Axis, ...]:
    """Take away the candidates that the patterns of `space` exclude; without patterns the axes come back as they are.

    Raises:
        InputError: a pattern matches no axis.
    """
    names = [axis.name for axis in axes]
    for key, patterns in (("only", space.only), ("keep", space.keep), ("minima", space.minima)):
        for pattern in patterns or ():
            if not any(fnmatchcase(name, pattern) for name in names):
                raise InputError(
                    f"no axis matches {pattern!r}; nearest are {', '.join(nearest_axes(pattern, names))}",
                    key=f"search.space.{key}",
                )
    return tuple(_restricted(axis, space) for axis in axes)


def _restricted(axis: Axis, space: SpaceSpec) -> Axis:
    chosen = space.only is None or _matches(axis.name, space.only)
    if not chosen or _matches(axis.name, space.keep or ()):
        return replace(axis, head_choices=axis.head_choices[-1:], width_choices=axis.width_choices[-1:])
    shares = [share for pattern, share in (space.minima or {}).items() if fnmatchcase(axis.name, pattern)]
    return at_least(axis, max(shares)) if shares else axis


def at_least(axis: Axis, share: float) -> Axis:
    """Keep the candidates of at least `share` of the axis' units.

    Candidates are a grid of head counts and channels, so a smallest head count and smallest channels are chosen: of the
    pairs that hold the share, the one that leaves the most candidates, and of equal ones the smallest network.
    """
    wanted = share * axis.size.units - 1e-9
    heads, widths = axis.head_choices, axis.width_choices
    grid = itertools.product(range(len(heads)), range(len(widths)))
    pairs = [(row, column) for row, column in grid if heads[row] * widths[column] >= wanted]
    row, column = max(
        pairs, key=lambda pair: ((len(heads) - pair[0]) * (len(widths) - pair[1]), -heads[pair[0]] * widths[pair[1]])
    )
    return replace(axis, head_choices=heads[row:], width_choices=widths[column:])


def nearest_axes(pattern: str, names: Sequence[str]) -> list[str]:
    """The few names that resemble a pattern most, in the order of the network."""

    def likeness(name: str) -> float:
        return SequenceMatcher(None, pattern, name).ratio()

    best = sorted(names, key=likeness, reverse=True)[:_NEAREST]
    return [name for name in names if name in best]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
