"""Describe timm's SwinTransformer: Swin-T/S/B and S3, any window and image size that its stages divide.

Every stage has its own residual stream and so its own embedding axis; patch merging reads four neighbouring tokens of
one stream, side by side, and writes the next. Every block has an attention axis (heads x channels per head; the
relative position bias has a column per head) and an MLP axis. The paper names Swin rows but no code was ever released:
masks act where they act in a ViT, on everything that writes to a residual stream.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from timm.layers import Mlp, PatchEmbed
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock, WindowAttention
from torch import nn

from ofb_ray.backbones.base import (
    Backbone,
    Norm,
    Tokens,
    linear_out,
    make_backbone,
    norm_cuts,
)
from ofb_ray.backbones.candidates import attention_axis, embedding_axis, mlp_axis
from ofb_ray.config import SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.method.axis import Axis, Cut, Widths
from ofb_ray.method.cost import Term, merge

# Exempt from weight decay.
TOKENS = ("relative_position_bias_table",)


def describe_swin(net: Any, space: SpaceSpec) -> Backbone:
    """Describe the axes, cuts and cost of a timm SwinTransformer.

    It is typed `Any`, as timm's types lack the attributes of its modules.

    Raises:
        InputError: a part whose units cannot be cut one by one, or an image that the stages do not divide.
    """
    _check(net)
    axes: list[Axis] = []
    cuts = list(_stem_cuts(net))
    height, width = net.patch_embed.grid_size
    macs = [Term(height * width * net.patch_embed.proj.weight[0].numel(), ("embed.0",))]
    for index, stage in enumerate(net.layers):
        embed = f"embed.{index}"
        axes.append(embedding_axis(embed, stage.blocks[0].dim, space))
        if index:
            macs.append(_merging_macs(stage, index))
            cuts += _merging_cuts(stage, index)
        for number, block in enumerate(stage.blocks):
            name = f"layers.{index}.blocks.{number}"
            channels = block.attn.qkv.out_features // 3 // block.attn.num_heads
            axes.append(attention_axis(f"{name}.attn", block.attn.num_heads, channels, space))
            axes.append(mlp_axis(f"{name}.mlp", block.mlp.fc1.out_features, space))
            cuts += _block_cuts(block, name, embed)
            macs += _block_macs(block, name, embed)
    cuts += norm_cuts("norm", net.norm, embed)
    if isinstance(net.head.fc, nn.Linear):
        cuts.append(Cut("head.fc.weight", 1, embed))
        macs.append(Term(net.head.fc.out_features, (embed,)))
    return make_backbone(net, axes, cuts, merge(macs), list(_norms(net)), _tokens(net), _refresh)


def _check(net: Any) -> None:
    problem = "" if isinstance(net.patch_embed, PatchEmbed) else "a stem other than a plain patch embedding"
    for index, stage in enumerate(net.layers):
        if index and type(stage.downsample) is not PatchMerging:
            problem = f"a {type(stage.downsample).__name__} between its stages"
        for block in stage.blocks:
            if type(block) is not SwinTransformerBlock or type(block.attn) is not WindowAttention:
                problem = f"blocks of class {type(block).__name__} or attention of class {type(block.attn).__name__}"
            elif type(block.mlp) is not Mlp or not isinstance(block.mlp.norm, nn.Identity):
                problem = f"an MLP of class {type(block.mlp).__name__} or with a norm inside"
    if problem:
        raise InputError(f"this network has {problem}, which cannot be cut unit by unit", key="model.name")
    if any(side % 2 ** (len(net.layers) - 1) for side in net.patch_embed.grid_size):
        stride = net.patch_embed.patch_size[0] * 2 ** (len(net.layers) - 1)
        raise InputError(f"Swin needs image sides that are multiples of {stride} pixels", key="data.image_size")


def _stem_cuts(net: Any) -> Iterator[Cut]:
    """Cut the stem; a norm behind the projection starts the residual stream, if there is one."""
    embed = net.patch_embed
    yield from linear_out("patch_embed.proj", embed.proj, "embed.0", gate=isinstance(embed.norm, nn.Identity))
    yield from norm_cuts("patch_embed.norm", embed.norm, "embed.0", gate=True)


def _merging_cuts(stage: Any, index: int) -> Iterator[Cut]:
    """Cut a patch merging: its input has four copies of the stream's units, one of each neighbour."""
    name = f"layers.{index}.downsample"
    yield from norm_cuts(f"{name}.norm", stage.downsample.norm, f"embed.{index - 1}", copies=4)
    yield Cut(f"{name}.reduction.weight", 1, f"embed.{index - 1}", copies=4)
    yield from linear_out(f"{name}.reduction", stage.downsample.reduction, f"embed.{index}", gate=True)


def _block_cuts(block: Any, name: str, embed: str) -> Iterator[Cut]:
    attn, mlp = f"{name}.attn", f"{name}.mlp"
    yield from norm_cuts(f"{name}.norm1", block.norm1, embed)
    yield from linear_out(f"{attn}.qkv", block.attn.qkv, attn, gate=True, copies=3, query=True)
    yield Cut(f"{attn}.qkv.weight", 1, embed)
    yield Cut(f"{attn}.relative_position_bias_table", 1, attn, per_head=True)
    yield Cut(f"{attn}.proj.weight", 1, attn)
    yield from linear_out(f"{attn}.proj", block.attn.proj, embed, gate=True)
    yield from norm_cuts(f"{name}.norm2", block.norm2, embed)
    yield from linear_out(f"{mlp}.fc1", block.mlp.fc1, mlp, gate=True)
    yield Cut(f"{mlp}.fc1.weight", 1, embed)
    yield Cut(f"{mlp}.fc2.weight", 1, mlp)
    yield from linear_out(f"{mlp}.fc2", block.mlp.fc2, embed, gate=True)


def _norms(net: Any) -> Iterator[Norm]:
    for index, stage in enumerate(net.layers):
        if index:
            yield Norm(f"layers.{index}.downsample.norm", (f"layers.{index}.downsample.reduction",))
        for number, block in enumerate(stage.blocks):
            name = f"layers.{index}.blocks.{number}"
            sides = zip(block.input_resolution, block.window_size, strict=True)
            yield Norm(f"{name}.norm1", (f"{name}.attn.qkv",), padded=any(side % window for side, window in sides))
            yield Norm(f"{name}.norm2", (f"{name}.mlp.fc1",))
    if isinstance(net.head.fc, nn.Linear):
        yield Norm("norm", ("head.fc",))


def _merging_macs(stage: Any, index: int) -> Term:
    return Term(4 * math.prod(stage.output_resolution), (f"embed.{index - 1}", f"embed.{index}"))


def _block_macs(block: Any, name: str, embed: str) -> list[Term]:
    """Count qkv and proj, the two attention products, fc1 and fc2; attention works on padded windows."""
    attn, mlp = f"{name}.attn", f"{name}.mlp"
    sides = zip(block.input_resolution, block.window_size, strict=True)
    padded = math.prod(-(-side // window) * window for side, window in sides)
    return [
        Term(4 * padded, (embed, attn)),
        Term(2 * padded * block.window_area, (attn,)),
        Term(2 * math.prod(block.input_resolution), (embed, mlp)),
    ]


def _tokens(net: Any) -> Tokens:
    last = len(net.layers) - 1
    stride = net.patch_embed.patch_size[0] * 2**last
    grid = tuple(net.layers[-1].output_resolution)
    return Tokens("patch_embed", 0, grid, stride, net.patch_embed.proj.in_channels, f"embed.{last}", "embed.0")


def _refresh(net: Any, widths: Widths) -> None:
    """Set what timm's modules keep beside their tensors."""
    net.embed_dim = widths["embed.0"].width
    net.num_features = net.head_hidden_size = widths[f"embed.{len(net.layers) - 1}"].width
    net.head.in_features = net.head.num_features = net.num_features
    for index, stage in enumerate(net.layers):
        width = widths[f"embed.{index}"].width
        net.feature_info[index]["num_chs"] = width
        if index:
            stage.downsample.dim, stage.downsample.out_dim = widths[f"embed.{index - 1}"].width, width
        for number, block in enumerate(stage.blocks):
            heads, channels = widths[f"layers.{index}.blocks.{number}.attn"]
            block.dim = block.attn.dim = width
            block.attn.num_heads, block.attn.scale = heads, channels**-0.5
