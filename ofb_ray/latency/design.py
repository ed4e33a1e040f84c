"""Which networks to time: few, and such that what each size costs can be told from their times."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ofb_ray.backbones.base import Backbone
from ofb_ray.method.axis import Axis, Width
from ofb_ray.method.cost import axis_of


def groups(backbone: Backbone) -> list[tuple[Axis, ...]]:
    """Group the axes that cost alike: the same choices, the same part in the MACs, the same partners.

    The layers of a stage are such a group; of a Vision Transformer all attentions are one, and all MLPs.
    """
    found: dict[object, list[Axis]] = {}
    for axis in backbone.axes:
        found.setdefault((axis.kind, axis.head_choices, axis.width_choices, _part(backbone, axis)), []).append(axis)
    return [tuple(alike) for alike in found.values()]


def _part(backbone: Backbone, axis: Axis) -> object:
    """The part of an axis in both polynomials, its own name apart."""
    parts = []
    for terms in (backbone.macs, backbone.params):
        mine = [term for term in terms if axis.name in map(axis_of, term.variables)]
        parts.append(
            tuple(
                sorted(
                    (term.coefficient, tuple(sorted(name.replace(axis.name, "", 1) for name in term.variables)))
                    for term in mine
                )
            )
        )
    return tuple(parts)


def partners(backbone: Backbone) -> list[tuple[str, str]]:
    """List the pairs of axes that the MACs couple; an axis with heads is the second of its pair."""
    order = {axis.name: (axis.head_choices[-1] > 1, place) for place, axis in enumerate(backbone.axes)}
    pairs = {tuple(sorted(map(axis_of, term.variables), key=order.__getitem__)) for term in backbone.macs}
    return sorted(((pair[0], pair[1]) for pair in pairs if len(pair) == 2), key=lambda pair: order[pair[1]])


def probes(backbone: Backbone, count: int, seed: int = 0) -> list[dict[str, Width]]:
    """Draw networks whose times tell most: one size for all axes of a group, every size of a group equally often.

    The smallest network is the first of them.
    """
    draw, alike = random.Random(seed), groups(backbone)
    columns = [_spread(axes[0].candidates, count - 1, draw) for axes in alike]
    drawn = [{axis.name: axis.candidates[0] for axis in backbone.axes}]
    for row in range(count - 1):
        sizes = {axis.name: column[row] for axes, column in zip(alike, columns, strict=True) for axis in axes}
        drawn.append({axis.name: sizes[axis.name] for axis in backbone.axes})
    return drawn


def checks(backbone: Backbone, count: int, seed: int = 1) -> list[dict[str, Width]]:
    """Draw networks in which every axis has a size of its own: what a search may find."""
    draw = random.Random(seed)
    return [{axis.name: draw.choice(axis.candidates) for axis in backbone.axes} for _ in range(count)]


def _spread(sizes: Sequence[Width], count: int, draw: random.Random) -> list[Width]:
    """Take every size as often as every other, in random order."""
    whole: list[Width] = []
    while len(whole) < count:
        whole += draw.sample(sizes, len(sizes))
    return whole[:count]
