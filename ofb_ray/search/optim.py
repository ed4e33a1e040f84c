"""Make AdamW for the search: weights, scores, alpha, gates and decoder, each with its learning rate."""

from __future__ import annotations

from typing import Any

import torch

from ofb_ray.config import SearchSpec
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.optim import adamw, network_groups


def make_search_optimizer(net: Supernet, spec: SearchSpec, steps: int) -> torch.optim.Optimizer:
    """Make AdamW over weights, scores, alpha (betas 0.5, 0.999), gates of decided axes, and PMIM's decoder.

    Adam moves a logit by about its learning rate per step, so alpha and scores get rates that let them travel a
    stated distance over the whole search: a short search decides as surely as a long one (released code: 1e-3 always).

    Args:
        steps: optimizer steps of the whole search.
    """
    alpha_lr = spec.alpha_lr or 2 * spec.travel / max(1, steps)
    score_lr = 2 * spec.score_travel / max(1, steps)
    masks = list(net.masks.named_parameters())

    def group(role: str, ending: str, peak: float, decay: float, **extra: Any) -> dict[str, Any]:
        params = [param for name, param in masks if name.endswith(ending)]
        return {"role": role, "params": params, "weight_decay": decay, "peak": peak, "floor": 0.0, **extra}

    decoder = network_groups(net.decoder, spec)
    return adamw(
        [
            *network_groups(net.net, spec),
            group("score", "score_U", score_lr, 0.0),
            group("alpha", "alpha_IJ", alpha_lr, spec.weight_decay, betas=(0.5, 0.999)),
            group("gate", "gate_U", spec.lr, 0.0),
            *({**entry, "role": "decoder"} for entry in decoder),
        ]
    )
