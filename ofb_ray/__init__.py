"""Compress Vision Transformers to a compute budget: OFB search, swept by Ray Tune and Optuna.

Importing this package loads neither torch nor Ray; `load` does, when it is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__version__ = "0.1.0"
__all__ = ["load"]


def load(path: str | Path) -> nn.Module:
    """The exported subnet in folder `path` (`arch.json` and `model.safetensors`) as a plain timm model in eval mode."""
    from ofb_ray.export import load_exported

    return load_exported(Path(path))
