"""Where a search starts: at the dense network, or in a chain at the network that the budget above has left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ofb_ray.backbones.base import Backbone
from ofb_ray.export import build
from ofb_ray.export.network import widths_of
from ofb_ray.method.axis import Axis, Width
from ofb_ray.method.projection import Goal, make_goal
from ofb_ray.trial.dense import Dense
from ofb_ray.trial.phases import Searched
from ofb_ray.trial.plan import Plan


@dataclass(frozen=True)
class Origin:
    """What a search starts from.

    Args:
        net: on the CPU; it stays as it is.
        backbone: its description, with the candidates that are left.
        goal: the budget on these candidates.
        folder: where its calibration is kept.
    """

    net: nn.Module
    backbone: Backbone
    goal: Goal
    folder: Path


def dense_origin(dense: Dense, planned: Plan, folder: Path) -> Origin:
    """Start from the dense network, whose calibration all trials of a sweep share in its `folder`."""
    return Origin(dense.net, planned.backbone, planned.goal, folder)


def decided_origin(above: Searched, planned: Plan, folder: Path) -> Origin:
    """Start from a network that a search has decided and fused, with fresh candidates for what is left of it.

    Args:
        above: the search of the budget above.
        planned: the trial that starts.
        folder: of that trial, which alone needs the calibration.
    """
    net = build(above.arch)
    net.load_state_dict(above.weights)
    backbone = narrowed(planned.backbone, widths_of(above.arch))
    goal = make_goal(planned.goal.terms, {axis.name: axis.candidates for axis in backbone.axes}, planned.target)
    return Origin(net, backbone, goal, folder)


def traced_axes(backbone: Backbone, searched: Searched) -> tuple[Axis, ...]:
    """The axes of the network that a search started from.

    Args:
        backbone: the dense network's.
    """
    start = searched.start
    return backbone.axes if start is None else narrowed(backbone, start).axes


def narrowed(backbone: Backbone, widths: Mapping[str, tuple[int, int]]) -> Backbone:
    """Describe a network of `widths`: of the dense network's candidates those that are no larger.

    The smallest of them all stay, so a network that was reachable from the dense one is reachable from there.
    """
    return backbone.with_axes([_narrowed(axis, Width(*widths[axis.name])) for axis in backbone.axes])


def _narrowed(axis: Axis, size: Width) -> Axis:
    heads = tuple(choice for choice in axis.head_choices if choice <= size.heads)
    # What has gone altogether has no width, and one choice.
    widths = tuple(choice for choice in axis.width_choices if choice <= size.width) or axis.width_choices[:1]
    return replace(axis, head_choices=heads, width_choices=widths, full=size)
