"""Register the backbone families, one line each, and build and describe networks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

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


class Family(NamedTuple):
    """A kind of networks.

    Args:
        describe: a network of the family and the sizes that its axes may take -> its description.
        tokens: names of its parameters that are tokens or positions instead of a layer's weights: they are exempt from
            weight decay.
    """

    describe: Callable[[Any, SpaceSpec], Backbone]
    tokens: tuple[str, ...]


FAMILIES: dict[type[nn.Module], Family] = {
    VisionTransformer: Family(vit.describe_vit, vit.TOKENS),
    SwinTransformer: Family(swin.describe_swin, swin.TOKENS),
    TNT: Family(tnt.describe_tnt, tnt.TOKENS),
}


def describe_backbone(net: nn.Module, space: SpaceSpec) -> Backbone:
    """Describe a timm network as a Backbone, its candidates those of `space`.

    Raises:
        InputError: no registered family fits its class, or a pattern of `space` matches no axis.
    """
    family = _family_of(net)
    if family is None:
        known = ", ".join(kind.__name__ for kind in FAMILIES)
        raise InputError(f"no backbone family for {type(net).__name__}; supported: {known}", key="model.name")
    backbone = family.describe(net, space)
    return backbone.with_axes(restrict(backbone.axes, space))


def tokens_of(net: nn.Module) -> frozenset[str]:
    """Name the parameters that are tokens or positions: those of timm's `no_weight_decay` and those of its family.

    A network of no family has timm's alone, if any.
    """
    family = _family_of(net)
    endings = () if family is None else family.tokens
    own = {name for name, _ in net.named_parameters() if name.rpartition(".")[2] in endings}
    of_timm: Callable[[], Iterable[str]] | None = getattr(net, "no_weight_decay", None)
    return frozenset(own | set(of_timm() if of_timm else ()))


def _family_of(net: nn.Module) -> Family | None:
    return next((family for kind, family in FAMILIES.items() if isinstance(net, kind)), None)


def known_model(name: str) -> None:
    """Check that timm has a model `name`, and the tag of weights after its dot.

    Raises:
        InputError: it has none; the message says the nearest name.
    """
    if not timm.is_model(name):
        hint = nearest(name, timm.list_models())
        raise InputError(f"timm has no model {name!r}{hint} (`timm.list_models()` lists all)", key="model.name")
    try:
        timm.models.get_pretrained_cfg(name)
    except RuntimeError:
        architecture, _, tag = name.partition(".")
        hint = nearest(name, known := timm.list_pretrained(f"{architecture}.*"))
        tags = "" if hint else f"; it has {', '.join(known[:4]) or 'none'}"
        raise InputError(f"timm has no weights {tag!r} of {architecture}{hint}{tags}", key="model.name") from None


def create(model: ModelSpec) -> nn.Module:
    """Build the timm network of a spec, with timm's pretrained weights if it asks for them.

    Local weights are read by `weights.py`.

    Raises:
        InputError: an unknown name, or arguments that its constructor refuses.
    """
    known_model(model.name)
    args: dict[str, Any] = dict(model.args)
    try:
        return timm.create_model(model.name, pretrained=model.pretrained, **args)
    except Exception as error:  # a constructor may raise anything at arguments that it does not expect
        if model.pretrained and isinstance(error, OSError | RuntimeError):
            raise  # a download
        reason = f"{type(error).__name__}: {error}" if isinstance(error, ArithmeticError | LookupError) else error
        raise InputError(f"timm cannot build {model.name!r} with {model.args}: {reason}", key="model.args") from None
