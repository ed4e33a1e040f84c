"""A tiny network and data sets that this project does not know."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

SMALL = {"img_size": 8, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 4}


def tiny(channels: int = 1, classes: int = 4, **args: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(
        "vit_tiny_patch16_224", **{**SMALL, "in_chans": channels, "num_classes": classes, **args}
    ).train()
