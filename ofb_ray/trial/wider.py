"""Find keys of `search.space` that make a budget reachable, the mildest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from torch import nn

from ofb_ray.backbones import describe_backbone
from ofb_ray.config import SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.method.cost import cost, smallest, units_of

_LOW: dict[str, Any] = {"head_min": 1, "channel_min": 0.125, "mlp_min": 0.125}
_GONE: dict[str, Any] = {"head_min": 0, "mlp_min": 0.0}
# Of a family whose attention cannot run without heads.
_NARROW: dict[str, Any] = {"head_min": 1, "channel_min": 0.05, "mlp_min": 0.0}
# Thin embeddings come last: every layer suffers from one, a part that goes is one part.
_STEPS: tuple[dict[str, Any], ...] = (
    {"head_min": 1},
    {"mlp_min": 0.125},
    _LOW,
    {"mlp_min": 0.0},
    _GONE,
    _NARROW,
    _GONE | {"embedding_min": 0.25},
    _NARROW | {"embedding_min": 0.25},
    _GONE | {"embedding_min": 0.1},
    _NARROW | {"embedding_min": 0.1},
)


class Wider(NamedTuple):
    """Keys of `search.space`, and the cost of the smallest subnet that they reach."""

    keys: Mapping[str, float]
    minimum: int


def wider(net: nn.Module, space: SpaceSpec, resource: Literal["macs", "params"], target: int) -> Wider | None:
    """Return the mildest known minima below those of `space` that reach `target`; None where none of them does.

    Args:
        net: the network, on any device.
        target: the budget, in MACs or parameters.
    """
    for step in _STEPS:
        keys = {key: value for key, value in step.items() if value < getattr(space, key)}
        try:
            backbone = describe_backbone(net, space.model_copy(update=keys))
        except InputError:
            continue
        terms = backbone.macs if resource == "macs" else backbone.params
        minimum = cost(terms, units_of(smallest(backbone.axes)))
        if minimum <= target:
            return Wider(keys, minimum)
    return None
