"""AdamW groups by role, and their learning rates by progress."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from ofb_ray.method.schedule import cosine_with_warmup
from ofb_ray.spec import FitSpec, PhaseSpec, SearchSpec
from ofb_ray.supernet import Supernet

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
        return _adamw(network_groups(net, spec))
    exempt = [name for name, param in net.named_parameters() if _exempt(name, param)]
    groups = param_groups_layer_decay(net, spec.weight_decay, exempt, layer_decay=spec.layer_decay)
    return _adamw(
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


def make_search_optimizer(net: Supernet, spec: SearchSpec, steps: int) -> torch.optim.Optimizer:
    """AdamW for the search: weights, scores, alpha (betas 0.5, 0.999), gates of decided axes, PMIM's decoder.

    Adam moves a logit by about its learning rate per step, so alpha and scores get rates that let them travel a
    stated distance over the whole search: a short search decides as surely as a long one (released code: 1e-3 always).
    """
    alpha_lr = spec.alpha_lr or 2 * spec.alpha_travel / max(1, steps)
    score_lr = 2 * spec.score_travel / max(1, steps)
    masks = list(net.masks.named_parameters())

    def group(role: str, ending: str, peak: float, decay: float, **extra: Any) -> dict[str, Any]:
        params = [param for name, param in masks if name.endswith(ending)]
        return {"role": role, "params": params, "weight_decay": decay, "peak": peak, "floor": 0.0, **extra}

    decoder = network_groups(net.decoder, spec)
    return _adamw(
        [
            *network_groups(net.net, spec),
            group("score", "score_U", score_lr, 0.0),
            group("alpha", "alpha_IJ", alpha_lr, spec.weight_decay, betas=(0.5, 0.999)),
            group("gate", "gate_U", spec.lr, 0.0),
            *({**entry, "role": "decoder"} for entry in decoder),
        ]
    )


def set_learning_rates(optimizer: torch.optim.Optimizer, progress: float, warmup: float) -> None:
    """Cosine with linear warm-up, per step, from each group's peak to its floor."""
    for group in optimizer.param_groups:
        group["lr"] = cosine_with_warmup(progress, group["peak"], group["floor"], warmup)


def _exempt(name: str, param: nn.Parameter) -> bool:
    return param.dim() <= 1 or any(token in name for token in _NO_DECAY)


def _adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.AdamW([group for group in groups if group["params"] or group["role"] == "gate"], fused=True)
