"""Save and restore a supernet in a search checkpoint: its tensors, and the candidates that every axis still has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import nn

from ofb_ray.backbones.base import Backbone, resize
from ofb_ray.method.axis import Axis
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.checkpoint import State


def supernet_state(net: Supernet) -> State:
    """Return the tensors and the candidates of every axis as plain containers."""
    axes = {axis.name: [list(axis.head_choices), list(axis.width_choices)] for axis in net.backbone.axes}
    return {"axes": axes, "tensors": net.state_dict()}


def restore_supernet(dense: nn.Module, backbone: Backbone, state: State) -> Supernet:
    """Build the supernet that `supernet_state` was taken of.

    Args:
        dense: network whose modules are copied; it is not changed.
        backbone: its description.
    """
    axes = list(_axes(backbone.axes, state["axes"]))
    vessel = resize(dense, backbone, {axis.name: axis.size for axis in axes})
    net = Supernet(vessel, backbone.with_axes(axes))
    net.load_state_dict(state["tensors"])
    return net


def _axes(axes: Iterable[Axis], choices: dict[str, list[list[int]]]) -> Iterable[Axis]:
    for axis in axes:
        heads, widths = choices[axis.name]
        yield replace(axis, head_choices=tuple(heads), width_choices=tuple(widths))
