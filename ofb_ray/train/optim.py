"""AdamW groups by role, and their learning rates by progress."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from ofb_ray.config import FitSpec, PhaseSpec
from ofb_ray.method.schedule import cosine_with_warmup

# Tokens and positions are exempt from weight decay, like everything of one dimension (released code, timm).
_NO_DECAY = (
    "cls_token",
    "dist_token",
    "reg_token",
    "mask_token",
    "pos_embed",
    "relative_position_bias_table",
    "pixel_pos",
    "patch_pos",
)


def network_groups(net: nn.Module, spec: PhaseSpec, prefix: str = "") -> list[dict[str, Any]]:
    """Two groups: role "weight" with decay, role "plain" without (one dimension, tokens, positions)."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, param in net.named_parameters(prefix):
        (plain if _exempt(name, param) else decayed).append(param)
    return [
        {"role": "weight", "params": decayed, "weight_decay": spec.weight_decay, "peak": spec.lr, "floor": spec.min_lr},
        {"role": "plain", "params": plain, "weight_decay": 0.0, "peak": spec.lr, "floor": spec.min_lr},
    ]


def make_optimizer(net: nn.Module, spec: FitSpec) -> torch.optim.Optimizer:
    """AdamW for plain training; with `layer_decay` a layer's rate falls by that factor per layer below the head."""
    if spec.layer_decay is None:
        return adamw(network_groups(net, spec))
    exempt = [name for name, param in net.named_parameters() if _exempt(name, param)]
    groups = param_groups_layer_decay(net, spec.weight_decay, exempt, layer_decay=spec.layer_decay)
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
    """Cosine with linear warm-up, per step, from each group's peak to its floor."""
    for group in optimizer.param_groups:
        group["lr"] = cosine_with_warmup(progress, group["peak"], group["floor"], warmup)


def _exempt(name: str, param: nn.Parameter) -> bool:
    return param.dim() <= 1 or any(token in name for token in _NO_DECAY)


def adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW over the groups that have parameters; a gate group stays, because cuts fill it later."""
    return torch.optim.AdamW([group for group in groups if group["params"] or group["role"] == "gate"], fused=True)
