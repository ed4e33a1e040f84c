"""Save and load checkpoints: plain containers of tensors, numbers and strings, atomically and weights-only."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ofb_ray.config import TrialSpec
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.files import STATE_FILE, kept_search_name

State = dict[str, Any]


def save(path: Path, state: State) -> None:
    """Write `state`; a reader sees the old file or the new one."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def load(path: Path) -> State | None:
    """Load the state in `path` onto the CPU; None where there is no such file."""
    if not path.exists():
        return None
    state: State = torch.load(path, map_location="cpu", weights_only=True)
    return state


def kept_search(shared: Path, spec: TrialSpec) -> Path:
    """Return where the checkpoint at the end of a search is kept for trials that would search the same."""
    return shared / kept_search_name(spec.search_key) / STATE_FILE


def optimizer_state(optimizer: torch.optim.Optimizer, owner: nn.Module) -> State:
    """Turn groups and moments into containers by parameter name: cuts leave the parameters in another order.

    Args:
        owner: the module whose parameters the optimizer updates.
    """
    names = {id(param): name for name, param in owner.named_parameters()}
    groups = [{**group, "params": [names[id(param)] for param in group["params"]]} for group in optimizer.param_groups]
    return {"groups": groups, "moments": {names[id(param)]: dict(value) for param, value in optimizer.state.items()}}


def restore_optimizer(state: State, owner: nn.Module) -> torch.optim.Optimizer:
    """Make the AdamW that `optimizer_state` returned, over the parameters of `owner`."""
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
