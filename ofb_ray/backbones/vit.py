"""Describe timm's VisionTransformer: ViT, DeiT (also distilled), DeiT-III (LayerScale), DINOv2 (registers).

The residual stream is one embedding axis; every block has an attention axis (heads x channels per head, shared by q,
k and v) and an MLP axis. The embedding mask scales every tensor that writes to the residual stream, so that a unit
that fades is gone from the stream, block outputs included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from timm.layers import Attention, GluMlp, LayerScale, Mlp, PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from ofb_ray.backbones.base import (
    Backbone,
    Norm,
    Scale,
    Tokens,
    linear_out,
    make_backbone,
    norm_cuts,
)
from ofb_ray.backbones.candidates import attention_axis, embedding_axis, mlp_axis
from ofb_ray.config import SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.method.axis import Cut, Widths
from ofb_ray.method.cost import Term, merge

EMBED = "embed"
# Exempt from weight decay.
TOKENS = ("cls_token", "dist_token", "reg_token", "pos_embed")


def describe_vit(net: VisionTransformer, space: SpaceSpec) -> Backbone:
    """Describe the axes, cuts and cost of a timm VisionTransformer.

    Raises:
        InputError: the network has a part whose units cannot be cut one by one (qk-norm, attention pooling, ...).
    """
    _check(net)
    axes = [embedding_axis(EMBED, net.embed_dim, space)]
    cuts = list(_stem_cuts(net))
    macs = [_stem_macs(net)]
    for index, block in enumerate(_blocks(net)):
        name = f"blocks.{index}"
        attn, mlp = block.attn, block.mlp
        hidden = mlp.fc2.in_features
        axes.append(attention_axis(f"{name}.attn", attn.num_heads, attn.head_dim, space, can_go=True))
        axes.append(mlp_axis(f"{name}.mlp", hidden, space))
        copies = 2 if isinstance(mlp, GluMlp) else 1
        cuts += [*_attention_cuts(block, name), *_mlp_cuts(block, name, copies)]
        macs += _block_macs(net, name, copies)
    cuts += _head_cuts(net)
    macs += [Term(head.out_features, (EMBED,)) for _, head in _heads(net)]
    return make_backbone(net, axes, cuts, merge(macs), list(_norms(net)), _tokens(net), _refresh, list(_scales(net)))


def _blocks(net: VisionTransformer) -> list[Any]:
    """List timm's blocks as `Any`, as its types lack their attributes."""
    return list(net.blocks)


def _check(net: VisionTransformer) -> None:
    embed = net.patch_embed
    problem = ""
    if not isinstance(embed, PatchEmbed) or isinstance(embed.norm, nn.LayerNorm):
        problem = "a stem other than a plain patch embedding"
    elif net.attn_pool is not None:
        problem = "attention pooling"
    for block in _blocks(net):
        if type(block) is not Block:
            problem = f"blocks of class {type(block).__name__}"
        elif type(block.attn) is not Attention or block.attn.gate is not None:
            problem = "attention other than the plain one"
        elif not isinstance(block.attn.q_norm, nn.Identity) or not isinstance(block.attn.norm, nn.Identity):
            problem = "norms inside the attention"
        elif type(block.mlp) not in (Mlp, GluMlp) or not isinstance(block.mlp.norm, nn.Identity):
            problem = f"an MLP of class {type(block.mlp).__name__} or with a norm inside"
    if problem:
        raise InputError(
            f"this network has {problem}, which cannot be cut unit by unit; use a plain ViT, DeiT, DeiT-III or DINOv2",
            key="model.name",
        )


def _stem_cuts(net: VisionTransformer) -> Iterator[Cut]:
    """Cut patch embedding and tokens, which start the residual stream unless a norm in front of the blocks does."""
    pre_norm = isinstance(net.norm_pre, nn.LayerNorm)
    yield from linear_out("patch_embed.proj", net.patch_embed.proj, EMBED, gate=not pre_norm)
    for name in TOKENS:
        if getattr(net, name, None) is not None:
            yield Cut(name, 2, EMBED, gate=not pre_norm)
    if pre_norm:
        yield from norm_cuts("norm_pre", net.norm_pre, EMBED, gate=True)


def _attention_cuts(block: Any, name: str) -> Iterator[Cut]:
    axis = f"{name}.attn"
    yield from norm_cuts(f"{name}.norm1", block.norm1, EMBED)
    yield from linear_out(f"{axis}.qkv", block.attn.qkv, axis, gate=True, copies=3, query=True)
    yield Cut(f"{axis}.qkv.weight", 1, EMBED)
    yield Cut(f"{axis}.proj.weight", 1, axis)
    yield from _residual_out(f"{axis}.proj", block.attn.proj, f"{name}.ls1", block.ls1)


def _mlp_cuts(block: Any, name: str, copies: int) -> Iterator[Cut]:
    axis = f"{name}.mlp"
    yield from norm_cuts(f"{name}.norm2", block.norm2, EMBED)
    yield from linear_out(f"{axis}.fc1", block.mlp.fc1, axis, gate=True, copies=copies)
    yield Cut(f"{axis}.fc1.weight", 1, EMBED)
    yield Cut(f"{axis}.fc2.weight", 1, axis)
    yield from _residual_out(f"{axis}.fc2", block.mlp.fc2, f"{name}.ls2", block.ls2)


def _head_cuts(net: VisionTransformer) -> Iterator[Cut]:
    for name in ("norm", "fc_norm"):
        yield from norm_cuts(name, getattr(net, name), EMBED)
    for name, _ in _heads(net):
        yield Cut(f"{name}.weight", 1, EMBED)


def _heads(net: VisionTransformer) -> list[tuple[str, nn.Linear]]:
    named = [(name, getattr(net, name, None)) for name in ("head", "head_dist")]
    return [(name, head) for name, head in named if isinstance(head, nn.Linear)]


def _norms(net: VisionTransformer) -> Iterator[Norm]:
    for index in range(len(net.blocks)):
        yield Norm(f"blocks.{index}.norm1", (f"blocks.{index}.attn.qkv",))
        yield Norm(f"blocks.{index}.norm2", (f"blocks.{index}.mlp.fc1",))
    if heads := tuple(name for name, _ in _heads(net)):
        yield from (Norm(name, heads) for name in ("norm", "fc_norm") if isinstance(getattr(net, name), nn.LayerNorm))


def _scales(net: VisionTransformer) -> Iterator[Scale]:
    for index, block in enumerate(_blocks(net)):
        for scale, writer in (("ls1", "attn.proj"), ("ls2", "mlp.fc2")):
            if isinstance(getattr(block, scale), LayerScale):
                yield Scale(f"blocks.{index}.{scale}.gamma", f"blocks.{index}.{writer}")


def _residual_out(name: str, layer: Any, scale_name: str, scale: nn.Module) -> Iterator[Cut]:
    """Cut a write to the residual stream: it is masked at the LayerScale, if there is one, else at the projection."""
    scaled = isinstance(scale, LayerScale)
    yield from linear_out(name, layer, EMBED, gate=not scaled)
    if scaled:
        yield Cut(f"{scale_name}.gamma", 0, EMBED, gate=True)


def _stem_macs(net: VisionTransformer) -> Term:
    kernel = net.patch_embed.proj.weight[0].numel()
    return Term(net.patch_embed.num_patches * kernel, (EMBED,))


def _block_macs(net: VisionTransformer, name: str, copies: int) -> list[Term]:
    """Count qkv and proj, the two attention products, fc1 and fc2, over all tokens.

    Args:
        copies: of the hidden units in fc1: 2 in a gated MLP.
    """
    tokens = net.patch_embed.num_patches + net.num_prefix_tokens
    return [
        Term(4 * tokens, (EMBED, f"{name}.attn")),
        Term(2 * tokens**2, (f"{name}.attn",)),
        Term((1 + copies) * tokens, (EMBED, f"{name}.mlp")),
    ]


def _tokens(net: VisionTransformer) -> Tokens:
    grid = tuple(net.patch_embed.grid_size)
    stride = net.patch_embed.patch_size[0]
    channels = net.patch_embed.proj.in_channels
    return Tokens("patch_embed", net.num_prefix_tokens, grid, stride, channels, EMBED, EMBED)


def _refresh(net: nn.Module, widths: Widths) -> None:
    """Set what timm's modules keep beside their tensors."""
    assert isinstance(net, VisionTransformer)
    net.embed_dim = net.num_features = net.head_hidden_size = widths[EMBED].width
    for index, block in enumerate(_blocks(net)):
        heads, width = widths[f"blocks.{index}.attn"]
        attn = block.attn
        # Without heads a channel is counted all the same: the scale divides by its root.
        attn.num_heads, attn.head_dim, attn.attn_dim = heads, width or 1, heads * width
        attn.scale = attn.head_dim**-0.5
