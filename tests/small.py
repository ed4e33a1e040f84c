"""A trial of a few seconds on the bundled digits."""

from __future__ import annotations

from typing import Any

from ofb_ray.config import TrialSpec

MODEL = {
    "name": "vit_tiny_patch16_224",
    "args": {"img_size": 8, "patch_size": 4, "in_chans": 1, "embed_dim": 32, "depth": 2, "num_heads": 4},
}


def small_spec(**changes: Any) -> TrialSpec:
    """A spec of a few seconds; `changes` replace whole sections or update their keys."""
    tree: dict[str, Any] = {
        "model": MODEL,
        "data": {"train_limit": 300},
        "dense": {"epochs": 3, "batch_size": 32},
        "search": {"epochs": 3, "batch_size": 32},
        "finetune": {"epochs": 3, "batch_size": 32},
        "budget": 0.5,
    }
    for key, value in changes.items():
        tree[key] = {**tree[key], **value} if isinstance(value, dict) and isinstance(tree.get(key), dict) else value
    return TrialSpec.model_validate(tree)
