"""Group parameters for AdamW by role, and set their learning rates by progress."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from ofb_ray.backbones import tokens_of
from ofb_ray.config import FitSpec, PhaseSpec
from ofb_ray.method.schedule import cosine_with_warmup


def network_groups(net: nn.Module, spec: PhaseSpec) -> list[dict[str, Any]]:
    """Sort the parameters of `net` into two groups: role "weight" with weight decay, role "plain" without."""
    exempt = undecayed(net)
    decayed = [param for name, param in net.named_parameters() if name not in exempt]
    plain = [param for name, param in net.named_parameters() if name in exempt]
    return [
        {"role": "weight", "params": decayed, "weight_decay": spec.weight_decay, "peak": spec.lr, "floor": spec.min_lr},
        {"role": "plain", "params": plain, "weight_decay": 0.0, "peak": spec.lr, "floor": spec.min_lr},
    ]


def make_optimizer(net: nn.Module, spec: FitSpec) -> torch.optim.Optimizer:
    """Make AdamW for plain training; with `layer_decay` rates fall by that factor per layer below the head."""
    if spec.layer_decay is None:
        return adamw(network_groups(net, spec))
    groups = param_groups_layer_decay(net, spec.weight_decay, tuple(undecayed(net)), layer_decay=spec.layer_decay)
    return adamw(
        [
            {
                "role": "weight" if group["weight_decay"] else "plain",
                "params": group["params"],
                "weight_decay": group["weight_decay"],
                "peak": spec.lr * group["lr_scale"],
                "floor": spec.min_lr * group["lr_scale"],
            }
            for group in groups
        ]
    )


def set_learning_rates(optimizer: torch.optim.Optimizer, progress: float, warmup: float) -> None:
    """Set every group's learning rate for the next step: linear warm-up, then a cosine from its peak to its floor.

    Args:
        progress: share of the phase's steps that are done, in [0, 1].
        warmup: share of the steps that warm up.
    """
    for group in optimizer.param_groups:
        group["lr"] = cosine_with_warmup(progress, group["peak"], group["floor"], warmup)


def undecayed(net: nn.Module) -> frozenset[str]:
    """Name the parameters without weight decay: tokens, positions, and all of one dimension (released code, timm)."""
    return tokens_of(net) | {name for name, param in net.named_parameters() if param.dim() <= 1}


def adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Make AdamW over the groups that have parameters; a gate group stays, because cuts fill it later."""
    return torch.optim.AdamW([group for group in groups if group["params"] or group["role"] == "gate"], fused=True)
