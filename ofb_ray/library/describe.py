"""Describe what can be searched in a network: its axes, their candidates, what they cost, how small it can get."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import Backbone
from ofb_ray.config import SpaceSpec
from ofb_ray.library.keywords import make_spec
from ofb_ray.method.axis import Axis
from ofb_ray.method.cost import Term, axis_of, cost, smallest, units_of

_HEAD = ("axes", "kind", "size", "candidates", "MACs", "alone down to")
_FEW = 6


@dataclass(frozen=True)
class AxisGroup:
    """Axes of one kind and size, in blocks that follow each other.

    Args:
        share: of the network's MACs, as a part of 1. A product belongs to the attention or the MLP that takes part in
            it, else (stem, patch merging, classifier) to the last embedding.
        alone: MACs of the network, as a part of its own, when these axes alone are at their smallest.
    """

    names: tuple[str, ...]
    axis: Axis
    share: float
    alone: float

    @property
    def label(self) -> str:
        """`blocks.0-11.attn` for twelve of them."""
        if len(self.names) == 1:
            return self.names[0]
        first, last = (re.findall(r"\d+", self.names[end]) for end in (0, -1))
        spans = iter(one if one == two else f"{one}-{two}" for one, two in zip(first, last, strict=True))
        return re.sub(r"\d+", lambda _: next(spans), self.names[0])


@dataclass(frozen=True)
class Description:
    """The search space of a network. Printed, it is a table.

    Args:
        macs, params: of the network as it is; least_macs, least_params: of the smallest one that can be reached.
    """

    groups: tuple[AxisGroup, ...]
    macs: int
    params: int
    least_macs: int
    least_params: int

    def __str__(self) -> str:
        rows = [_HEAD, *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        lines = [
            "  ".join(
                cell.rjust(width) if column > 3 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], "", self.summary])

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        lines = [f"| {' | '.join(_HEAD)} |", "|---|---|---|---|--:|--:|"]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self._rows()), "", self.summary])

    @property
    def summary(self) -> str:
        """The network and the smallest one that can be reached, in a line each."""
        return (
            f"network: {self.macs:,} MACs, {self.params:,} parameters\n"
            f"smallest: {self.least_macs:,} MACs ({_percent(self.least_macs / self.macs)}), "
            f"{self.least_params:,} parameters ({_percent(self.least_params / self.params)})"
        )

    def _rows(self) -> Iterable[tuple[str, ...]]:
        for group in self.groups:
            axis = group.axis
            size = f"{axis.size.heads} x {axis.size.width}" if axis.kind == "attention" else str(axis.size.width)
            yield group.label, axis.kind, size, candidates_text(axis), _percent(group.share), _percent(group.alone)


def describe(net: nn.Module, space: Mapping[str, Any] | SpaceSpec | None = None) -> Description:
    """Describe the search space of a timm network.

    Args:
        space: keys of `search.space`, such as {"keep": ["blocks.0.*"]}; None: the defaults.
    Raises:
        InputError: no registered family fits the network, an unknown key, or a pattern that matches no axis.
    """
    if not isinstance(space, SpaceSpec):
        space = make_spec({"budget": 1.0, "search": {"space": dict(space or {})}}).search.space
    backbone = describe_backbone(net, space)
    full, least = units_of(backbone.widths), units_of(smallest(backbone.axes))
    macs = cost(backbone.macs, full)
    groups = []
    for axes in _grouped(backbone.axes):
        alone = {**backbone.widths, **smallest(axes)}
        share = sum(_own_macs(backbone, axis, full) for axis in axes) / macs
        groups.append(
            AxisGroup(tuple(axis.name for axis in axes), axes[0], share, cost(backbone.macs, units_of(alone)) / macs)
        )
    return Description(
        tuple(groups), macs, cost(backbone.params, full), cost(backbone.macs, least), cost(backbone.params, least)
    )


def candidates_text(axis: Axis) -> str:
    """`2-6 by 2 heads x 16-64 by 8`; `whole` where there is one size."""
    if len(axis.candidates) == 1:
        return "whole"
    widths = _steps_text(axis.width_choices)
    return f"{_steps_text(axis.head_choices)} heads x {widths}" if axis.kind == "attention" else widths


def _steps_text(values: Sequence[int]) -> str:
    steps = {after - before for before, after in itertools.pairwise(values)}
    if len(values) < 3 or (len(steps) > 1 and len(values) <= _FEW):
        return ", ".join(map(str, values))
    if len(steps) == 1:
        return f"{values[0]}-{values[-1]} by {steps.pop()}"
    return (
        f"{values[0]}-{values[-2]} by {values[1] - values[0]}, {values[-1]}" if _even(values[:-1]) else _short(values)
    )


def _even(values: Sequence[int]) -> bool:
    return len({after - before for before, after in itertools.pairwise(values)}) == 1


def _short(values: Sequence[int]) -> str:
    return f"{values[0]}, {values[1]}, ..., {values[-1]} ({len(values)})"


def _grouped(axes: Iterable[Axis]) -> list[list[Axis]]:
    """Axes that differ in the numbers of their names alone, and in nothing else."""
    groups: dict[tuple[Any, ...], list[Axis]] = {}
    for axis in axes:
        stage = re.sub(r"blocks\.\d+", "blocks.*", axis.name)
        key = (stage, axis.kind, axis.head_choices, axis.width_choices)
        last = groups.setdefault(key, [])
        last.append(axis)
    return list(groups.values())


def _own_macs(backbone: Backbone, axis: Axis, units: Mapping[str, int]) -> int:
    own = [term for term in backbone.macs if _owner(backbone, term) == axis.name]
    return cost(own, units) if own else 0


def _owner(backbone: Backbone, term: Term) -> str:
    names = [axis_of(variable) for variable in term.variables]
    inner = [name for name in names if backbone.axis(name).kind != "embedding"]
    return (inner or names or [""])[-1]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
