"""Checkpoints: plain containers of tensors, numbers and strings, written atomically and loaded weights-only."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ofb_ray.backbones.base import Backbone, resize
from ofb_ray.method.axis import Axis
from ofb_ray.method.bimask import BiMask, Gate
from ofb_ray.records import write_atomic
from ofb_ray.spec import TrialSpec
from ofb_ray.supernet import Supernet

State = dict[str, Any]


def save(path: Path, state: State) -> None:
    """Write `state`; a reader sees the old file or the new one."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def load(path: Path) -> State | None:
    """The state in `path` on the CPU, or None where there is none."""
    if not path.exists():
        return None
    state: State = torch.load(path, map_location="cpu", weights_only=True)
    return state


def kept(shared: Path, spec: TrialSpec) -> Path:
    """Where a sweep that promotes keeps the checkpoint at the end of a search."""
    return shared / f"search-{spec.search_key}" / "state.pt"


def optimizer_state(optimizer: torch.optim.Optimizer, owner: nn.Module) -> State:
    """Groups and moments by parameter name, so that they do not depend on the order in which cuts left them."""
    names = {id(param): name for name, param in owner.named_parameters()}
    groups = [{**group, "params": [names[id(param)] for param in group["params"]]} for group in optimizer.param_groups]
    return {"groups": groups, "moments": {names[id(param)]: dict(value) for param, value in optimizer.state.items()}}


def restore_optimizer(state: State, owner: nn.Module) -> torch.optim.Optimizer:
    """The AdamW that `optimizer_state` described, over the parameters of `owner`."""
    params = dict(owner.named_parameters())
    groups = [{**group, "params": [params[name] for name in group["params"]]} for group in state["groups"]]
    optimizer = torch.optim.AdamW(groups)
    for name, moments in state["moments"].items():
        param = params[name]
        optimizer.state[param] = {
            key: value.to(param.device) if isinstance(value, torch.Tensor) and (value.dim() or param.is_cuda) else value
            for key, value in moments.items()
        }
    return optimizer


def supernet_state(net: Supernet) -> State:
    """Tensors and the candidates of every axis."""
    axes = {axis.name: [list(axis.head_choices), list(axis.width_choices)] for axis in net.backbone.axes}
    return {"axes": axes, "tensors": net.state_dict()}


def restore_supernet(dense: nn.Module, backbone: Backbone, state: State) -> Supernet:
    """The supernet that `supernet_state` described; `dense` gives the classes and is left as it is."""
    axes = list(_axes(backbone.axes, state["axes"]))
    vessel = resize(dense, backbone, {axis.name: axis.size for axis in axes})
    masks = {
        axis.name: BiMask(axis) if len(axis.candidates) > 1 else Gate(axis, torch.ones(axis.size.units))
        for axis in axes
    }
    net = Supernet(vessel, backbone.with_axes(axes), masks)
    net.load_state_dict(state["tensors"])
    return net


def _axes(axes: Iterable[Axis], choices: dict[str, list[list[int]]]) -> Iterable[Axis]:
    for axis in axes:
        heads, widths = choices[axis.name]
        yield replace(axis, head_choices=tuple(heads), width_choices=tuple(widths))
