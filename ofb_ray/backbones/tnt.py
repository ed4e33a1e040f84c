"""Describe timm's TNT (Transformer in Transformer): an inner one over a patch's pixels, an outer one over patches.

Two residual streams, so two embedding axes: `embed.inner` and `embed.outer`. Every block has an attention and an MLP
axis on each, and a projection that writes all pixels of a patch, side by side, from the inner stream to the outer one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
from ofb_ray.method.axis import Axis, Cut, Widths
from ofb_ray.method.cost import Term, merge

INNER, OUTER = "embed.inner", "embed.outer"
# Exempt from weight decay.
TOKENS = ("cls_token", "pixel_pos", "patch_pos")


def describe_tnt(net: Any, space: SpaceSpec) -> Backbone:
    """Describe the axes, cuts and cost of a timm TNT, the legacy layout of its projections included."""
    pixels, patches = _pixels(net), net.num_patches
    axes = [
        embedding_axis(INNER, net.pixel_embed.in_dim, space),
        embedding_axis(OUTER, net.embed_dim, space),
    ]
    cuts = list(_stem_cuts(net, pixels))
    macs = [
        Term(patches * pixels * net.pixel_embed.proj.weight[0].numel(), (INNER,)),
        Term(patches * pixels, (INNER, OUTER)),
    ]
    for index, block in enumerate(net.blocks):
        name = f"blocks.{index}"
        axes += _block_axes(block, name, space)
        cuts += _layer_cuts(block, name, "attn_in", "norm_in", "mlp_in", "norm_mlp_in", INNER)
        cuts += _layer_cuts(block, name, "attn_out", "norm_out", "mlp", "norm_mlp", OUTER)
        cuts += _projection_cuts(f"{name}.", block, 1 if block.legacy else pixels, pixels)
        macs.append(Term(patches * pixels, (INNER, OUTER)))
        macs += _layer_macs(patches * pixels, pixels, f"{name}.attn_in", f"{name}.mlp_in", INNER)
        macs += _layer_macs(patches + 1, patches + 1, f"{name}.attn_out", f"{name}.mlp", OUTER)
    cuts += norm_cuts("norm", net.norm, OUTER)
    if isinstance(net.head, nn.Linear):
        cuts.append(Cut("head.weight", 1, OUTER))
        macs.append(Term(net.head.out_features, (OUTER,)))
    return make_backbone(net, axes, cuts, merge(macs), list(_norms(net)), _tokens(net), _refresh)


def _pixels(net: Any) -> int:
    """Count the inner tokens of a patch."""
    height, width = net.pixel_embed.new_patch_size
    return int(height * width)


def _block_axes(block: Any, name: str, space: SpaceSpec) -> Iterator[Axis]:
    for attn, mlp in (("attn_in", "mlp_in"), ("attn_out", "mlp")):
        attention = getattr(block, attn)
        yield attention_axis(f"{name}.{attn}", attention.num_heads, attention.head_dim, space)
        yield mlp_axis(f"{name}.{mlp}", getattr(block, mlp).fc1.out_features, space)


def _stem_cuts(net: Any, pixels: int) -> Iterator[Cut]:
    yield from linear_out("pixel_embed.proj", net.pixel_embed.proj, INNER, gate=True)
    yield Cut("pixel_pos", 1, INNER, gate=True)
    yield from _projection_cuts("", net, pixels, pixels)
    yield Cut("cls_token", 2, OUTER, gate=True)
    yield Cut("patch_pos", 2, OUTER, gate=True)


def _projection_cuts(prefix: str, owner: Any, normed: int, pixels: int) -> Iterator[Cut]:
    """Cut a projection from the inner to the outer stream; a norm behind it writes, if there is one.

    Args:
        normed: inner tokens that the norm in front sees at once.
        pixels: inner tokens of a patch.
    """
    yield from norm_cuts(f"{prefix}norm1_proj", owner.norm1_proj, INNER, copies=normed)
    yield Cut(f"{prefix}proj.weight", 1, INNER, copies=pixels)
    yield from linear_out(f"{prefix}proj", owner.proj, OUTER, gate=owner.norm2_proj is None)
    if owner.norm2_proj is not None:
        yield from norm_cuts(f"{prefix}norm2_proj", owner.norm2_proj, OUTER, gate=True)


def _layer_cuts(block: Any, name: str, attn: str, norm1: str, mlp: str, norm2: str, embed: str) -> Iterator[Cut]:
    attention, hidden = f"{name}.{attn}", f"{name}.{mlp}"
    yield from norm_cuts(f"{name}.{norm1}", getattr(block, norm1), embed)
    yield from linear_out(f"{attention}.qk", getattr(block, attn).qk, attention, gate=True, copies=2, query=True)
    yield from linear_out(f"{attention}.v", getattr(block, attn).v, attention, gate=True)
    for reader in ("qk", "v"):
        yield Cut(f"{attention}.{reader}.weight", 1, embed)
    yield Cut(f"{attention}.proj.weight", 1, attention)
    yield from linear_out(f"{attention}.proj", getattr(block, attn).proj, embed, gate=True)
    yield from norm_cuts(f"{name}.{norm2}", getattr(block, norm2), embed)
    yield from linear_out(f"{hidden}.fc1", getattr(block, mlp).fc1, hidden, gate=True)
    yield Cut(f"{hidden}.fc1.weight", 1, embed)
    yield Cut(f"{hidden}.fc2.weight", 1, hidden)
    yield from linear_out(f"{hidden}.fc2", getattr(block, mlp).fc2, embed, gate=True)


def _norms(net: Any) -> Iterator[Norm]:
    yield Norm("norm1_proj", ("proj",))
    for index in range(len(net.blocks)):
        name = f"blocks.{index}"
        yield Norm(f"{name}.norm1_proj", (f"{name}.proj",))
        for attn, norm1, mlp, norm2 in (
            ("attn_in", "norm_in", "mlp_in", "norm_mlp_in"),
            ("attn_out", "norm_out", "mlp", "norm_mlp"),
        ):
            yield Norm(f"{name}.{norm1}", (f"{name}.{attn}.qk", f"{name}.{attn}.v"))
            yield Norm(f"{name}.{norm2}", (f"{name}.{mlp}.fc1",))
    if isinstance(net.head, nn.Linear):
        yield Norm("norm", ("head",))


def _layer_macs(tokens: int, seen: int, attn: str, mlp: str, embed: str) -> list[Term]:
    """Count qk, v and proj, the two attention products, fc1 and fc2.

    Args:
        tokens: of an image.
        seen: tokens that each one attends to.
    """
    return [
        Term(4 * tokens, (embed, attn)),
        Term(2 * tokens * seen, (attn,)),
        Term(2 * tokens, (embed, mlp)),
    ]


def _tokens(net: Any) -> Tokens:
    """Place the patch tokens at the inner ones: the outer stream sees a patch only through them."""
    grid, side = tuple(net.pixel_embed.grid_size), net.pixel_embed.patch_size[0]
    return Tokens("pixel_embed", 1, grid, side, net.pixel_embed.proj.in_channels, OUTER, INNER)


def _refresh(net: Any, widths: Widths) -> None:
    """Set what timm's modules keep beside their tensors."""
    net.pixel_embed.in_dim = widths[INNER].width
    net.embed_dim = net.num_features = net.head_hidden_size = widths[OUTER].width
    for index, block in enumerate(net.blocks):
        for name in ("attn_in", "attn_out"):
            heads, width = widths[f"blocks.{index}.{name}"]
            attention = getattr(block, name)
            attention.num_heads, attention.head_dim, attention.hidden_dim = heads, width, heads * width
            attention.scale = width**-0.5
