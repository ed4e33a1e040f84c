"""The registry of backbone families: one line a family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
from timm.models.swin_transformer import SwinTransformer
from timm.models.tnt import TNT
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ofb_ray.backbones import swin, tnt, vit
from ofb_ray.backbones.base import Backbone
from ofb_ray.backbones.patterns import restrict
from ofb_ray.config import ModelSpec, SpaceSpec
from ofb_ray.errors import InputError, nearest

FAMILIES: dict[type[nn.Module], Callable[[Any, SpaceSpec], Backbone]] = {
    VisionTransformer: vit.describe_vit,
    SwinTransformer: swin.describe_swin,
    TNT: tnt.describe_tnt,
}


def describe_backbone(net: nn.Module, space: SpaceSpec) -> Backbone:
    """Describe a timm network as a Backbone, its candidates those of `space`.

    Raises:
        InputError: no registered family fits its class, or a pattern of `space` matches no axis.
    """
    for family, describe_family in FAMILIES.items():
        if isinstance(net, family):
            backbone = describe_family(net, space)
            return backbone.with_axes(restrict(backbone.axes, space))
    known = ", ".join(family.__name__ for family in FAMILIES)
    raise InputError(f"no backbone family for {type(net).__name__}; supported: {known}", key="model.name")


def known_model(name: str) -> None:
    """Raises InputError where timm has no model `name`."""
    if not timm.is_model(name):
        hint = nearest(name, timm.list_models())
        raise InputError(f"timm has no model {name!r}{hint} (`timm.list_models()` lists all)", key="model.name")


def create(model: ModelSpec) -> nn.Module:
    """The timm network of a spec, with timm's pretrained weights where it asks for them; `weights.py` reads local ones.

    Raises:
        InputError: an unknown name, or arguments that its constructor refuses.
    """
    known_model(model.name)
    args: dict[str, Any] = dict(model.args)
    try:
        return timm.create_model(model.name, pretrained=model.pretrained, **args)
    except (TypeError, AssertionError, ValueError) as error:
        raise InputError(f"timm cannot build {model.name!r} with {model.args}: {error}", key="model.args") from None
