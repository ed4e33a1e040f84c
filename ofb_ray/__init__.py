"""Compress Vision Transformers to a compute budget: OFB search, swept by Ray Tune and Optuna.

    net = ofb_ray.compress(net, train, val, budget=0.5).net

Importing this package loads neither torch nor Ray; what it offers is imported when it is first asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ofb_ray.export.network import load
    from ofb_ray.library.compress import compress
    from ofb_ray.library.describe import describe
    from ofb_ray.library.front import front

__version__ = "0.1.0"
__all__ = ["compress", "describe", "front", "load"]

_OFFERED = {
    "compress": "ofb_ray.library.compress",
    "describe": "ofb_ray.library.describe",
    "front": "ofb_ray.library.front",
    "load": "ofb_ray.export.network",
}


def lazily(package: str, offered: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the `__getattr__` and `__dir__` (PEP 562) of a package that loads a name when it is asked for.

    Args:
        package: its `__name__`.
        offered: the module of each name.
    """

    def get(name: str) -> Any:
        if name not in offered:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(offered[name]), name)

    return get, lambda: sorted({*vars(sys.modules[package]), *offered})


__getattr__, __dir__ = lazily(__name__, _OFFERED)
