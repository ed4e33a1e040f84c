"""Find out how timm builds a network that is there: its name and constructor arguments, proved by building it again."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save
from timm.layers import DropPath
from timm.models.swin_transformer import SwinTransformer
from timm.models.tnt import TNT
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ofb_ray.backbones.weights import network
from ofb_ray.config import Json, ModelSpec
from ofb_ray.errors import InputError
from ofb_ray.results.atomic import write_atomic

_REMEDY = 'pass model={"name": ..., "args": {...}} as you gave them to timm.create_model'
# A rebuilt network runs the same operators on the same weights; only threads may order sums otherwise.
_TOLERANCE = 1e-4


def identify(net: nn.Module, given: Mapping[str, Any] | None = None) -> Json:
    """Name the timm model that `net` is, and the arguments in which it differs from that name's defaults.

    Args:
        given: `name` and `args` where the user states them; what is missing is read off the network.
    Raises:
        InputError: the network does not say which timm model it is.
    """
    stated = dict(given or {})
    name = stated.get("name") or _name(net)
    if not isinstance(name, str) or not timm.is_model(name):
        reason = f"timm has no model {name!r}" if name else f"this {type(net).__name__} does not name its timm model"
        raise InputError(f"{reason}: {_REMEDY}", key="model.name")
    return {**stated, "name": name, "args": _arguments(net, name, stated.get("args"))}


def save_weights(net: nn.Module, folder: Path) -> Path:
    """Write the tensors of `net` into `folder`, under a name that follows from them; the file that is there stays."""
    data = save({name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()})
    path = folder / f"weights-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    if not path.exists():
        write_atomic(path, data)
    return path


def check_rebuilt(net: nn.Module, model: ModelSpec, shape: tuple[int, int, int]) -> None:
    """Build the network of `model` with its weights and compare: same tensors, same outputs in eval mode.

    Args:
        shape: of an image, (C, height, width).
    Raises:
        InputError: it cannot be built, or computes something else.
    """
    try:
        rebuilt = network(model).eval()
    except InputError as error:
        raise _differs(model, " ".join(error.message.split())) from None
    own, other = ({key: value.shape for key, value in each.state_dict().items()} for each in (net, rebuilt))
    if own != other:
        raise _differs(model, f"tensors such as {sorted(set(own.items()) ^ set(other.items()))[0][0]} differ")
    image = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = copy.deepcopy(net).cpu().float().eval()(image), rebuilt(image)
    if not torch.allclose(wanted, found, rtol=_TOLERANCE, atol=_TOLERANCE * float(wanted.abs().max())):
        raise _differs(model, f"outputs differ by up to {float((wanted - found).abs().max()):.2g}")


def _differs(model: ModelSpec, reason: str) -> InputError:
    return InputError(
        f"timm's {model.name!r} is another network ({reason}) with {model.args}: {_REMEDY}; a network that was cut or "
        "changed by hand is no timm model any more",
        key="model",
    )


def _name(net: nn.Module) -> str | None:
    """The architecture; with its tag where images are prepared otherwise than for the architecture's first weights."""
    config: Any = getattr(net, "pretrained_cfg", None) or {}
    architecture: str | None = config.get("architecture")
    tag = config.get("tag")
    if not architecture or not tag:
        return architecture
    keys = ("mean", "std", "interpolation", "crop_pct")
    first, own = (timm.models.get_pretrained_cfg(each) for each in (architecture, f"{architecture}.{tag}"))
    same = first is None or own is None or all(getattr(first, key) == getattr(own, key) for key in keys)
    return architecture if same else f"{architecture}.{tag}"


def _arguments(net: nn.Module, name: str, given: Mapping[str, Any] | None) -> Json:
    """The arguments that differ from the defaults of `name`; of given ones only what every network needs is added."""
    own = next(reader for family, reader in _READERS.items() if isinstance(net, family))(net)
    always = {key: own[key] for key in ("img_size", "in_chans", "num_classes")}
    if given is not None:
        return {**always, **given}
    with torch.device("meta"):
        default = timm.create_model(name, pretrained=False)
    if type(default) is not type(net):
        raise InputError(
            f"timm's {name!r} is a {type(default).__name__}, this network a {type(net).__name__}: {_REMEDY}",
            key="model.name",
        )
    theirs = next(reader for family, reader in _READERS.items() if isinstance(default, family))(default)
    return {**{key: value for key, value in own.items() if value != theirs[key]}, **always}


def _drop_path(modules: nn.Module) -> float:
    """The drop-path rate of the last block: earlier ones have less."""
    rates = [float(each.drop_prob or 0) for each in modules.modules() if isinstance(each, DropPath)]
    return round(max(rates, default=0.0), 6)


def _side(size: Any) -> int:
    return int(size[0] if isinstance(size, tuple | list) else size)


def _vit(net: Any) -> Json:
    block, stem = net.blocks[0], net.patch_embed
    return {
        "img_size": _side(stem.img_size),
        "patch_size": _side(stem.patch_size),
        "in_chans": stem.proj.in_channels,
        "num_classes": net.num_classes,
        "global_pool": net.global_pool,
        "embed_dim": net.embed_dim,
        "depth": len(net.blocks),
        "num_heads": block.attn.num_heads,
        "mlp_ratio": block.mlp.fc2.in_features / net.embed_dim,
        "qkv_bias": block.attn.qkv.bias is not None,
        "class_token": net.cls_token is not None,
        "reg_tokens": getattr(net, "num_reg_tokens", 0),
        "no_embed_class": net.no_embed_class,
        "dynamic_img_size": net.dynamic_img_size,
        "drop_rate": net.head_drop.p,
        "pos_drop_rate": getattr(net.pos_drop, "p", 0.0),
        "proj_drop_rate": block.attn.proj_drop.p,
        "attn_drop_rate": block.attn.attn_drop.p,
        "drop_path_rate": _drop_path(net.blocks),
    }


def _swin(net: Any) -> Json:
    stages = list(net.layers)
    first = stages[0].blocks[0]
    heads = [stage.blocks[0].attn.num_heads for stage in stages]
    channels = [stage.blocks[0].attn.qkv.out_features // 3 // count for stage, count in zip(stages, heads, strict=True)]
    usual = [stage.blocks[0].dim // count for stage, count in zip(stages, heads, strict=True)]
    return {
        "img_size": _side(net.patch_embed.img_size),
        "patch_size": _side(net.patch_embed.patch_size),
        "in_chans": net.patch_embed.proj.in_channels,
        "num_classes": net.num_classes,
        "global_pool": net.global_pool,
        "embed_dim": net.embed_dim,
        "depths": [len(stage.blocks) for stage in stages],
        "num_heads": heads,
        "head_dim": None if channels == usual else channels[0],
        "window_size": [_side(stage.blocks[0].window_size) for stage in stages],
        "mlp_ratio": first.mlp.fc1.out_features / first.dim,
        "qkv_bias": first.attn.qkv.bias is not None,
        "drop_rate": net.head.drop.p,
        "proj_drop_rate": first.attn.proj_drop.p,
        "attn_drop_rate": first.attn.attn_drop.p,
        "drop_path_rate": _drop_path(net.layers),
    }


def _tnt(net: Any) -> Json:
    block, stem = net.blocks[0], net.pixel_embed
    return {
        "img_size": _side(stem.img_size),
        "patch_size": _side(stem.img_size) // math.isqrt(stem.num_patches),
        "in_chans": stem.proj.in_channels,
        "num_classes": net.num_classes,
        "global_pool": net.global_pool,
        "embed_dim": net.embed_dim,
        "inner_dim": block.attn_in.v.in_features,
        "depth": len(net.blocks),
        "num_heads_inner": block.attn_in.num_heads,
        "num_heads_outer": block.attn_out.num_heads,
        "mlp_ratio": block.mlp.fc1.out_features / net.embed_dim,
        "qkv_bias": block.attn_out.qk.bias is not None,
        "drop_path_rate": _drop_path(net.blocks),
    }


_READERS: dict[type[nn.Module], Callable[[Any], Json]] = {VisionTransformer: _vit, SwinTransformer: _swin, TNT: _tnt}
