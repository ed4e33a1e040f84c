"""The network and its search space."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ofb_ray.config.base import Json, Strict, unit


class ModelSpec(Strict):
    """A timm model: any name of `timm.list_models()` with a supported family, and constructor arguments over it."""

    name: str = Field(
        "vit_tiny_patch16_224",
        description="timm model of a supported family, with or without a pretrained tag, such as "
        "`deit_small_patch16_224.fb_in1k`.",
    )
    args: Json = Field(
        default_factory=dict,
        description="Constructor arguments of the timm model, such as `{depth: 4}`; an empty mapping changes nothing.",
    )
    pretrained: bool = Field(
        False, description="Start from the pretrained weights of the name's tag, fetched into the hub's cache."
    )
    weights: str | None = Field(
        None,
        description="File to start from instead, `.safetensors` or `.pth` (tensors only); classes, image size, patch "
        "size and channels may differ.",
    )


class SpaceSpec(Strict):
    """The candidate sizes of every axis; minima and steps are shares of the full width where they are not counts.

    Patterns are shell-like (`*`, `?`, `[ab]`) over whole names of axes (`embed`, `blocks.3.attn`, ...);
    `ofb_ray.describe(net)` lists them.
    """

    absent: ClassVar[frozenset[str]] = frozenset({"only", "keep", "minima"})

    embedding: bool = Field(True, description="Search the embedding width; false keeps it whole.")
    embedding_min: float = Field(
        0.5,
        gt=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Smallest candidate of the embedding width D, as a part of D.",
    )
    embedding_step: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("channels"),
        description="Distance between candidates of the embedding width; null is min(D / 32, 12).",
    )
    head_min: int = Field(
        2,
        ge=0,
        json_schema_extra=unit("heads"),
        description="Smallest number of attention heads; with 0 a whole attention may go, its residual stays (not of "
        "Swin and TNT).",
    )
    head_step: int = Field(
        2, ge=1, json_schema_extra=unit("heads"), description="Distance between candidate numbers of heads."
    )
    channel_min: float = Field(
        0.25,
        gt=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Smallest candidate of the channels per head d, as a part of d.",
    )
    channel_step: float = Field(
        0.125,
        gt=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Distance between candidates of the channels per head, as a part of d.",
    )
    mlp_min: float = Field(
        0.25,
        ge=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Smallest candidate of an MLP's hidden width h, as a part of h; with 0 a whole MLP may go, its "
        "residual stays.",
    )
    mlp_step: float = Field(
        0.125,
        gt=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Distance between candidates of an MLP's hidden width, as a part of h.",
    )
    only: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Patterns of the axes that may shrink, such as `*.attn`; the others stay whole; null is all.",
    )
    keep: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Patterns of axes that stay whole, such as `blocks.0.*`; stronger than `only`.",
    )
    minima: dict[str, Annotated[float, Field(gt=0, le=1)]] | None = Field(
        None,
        min_length=1,
        json_schema_extra=unit("share", "above 0, at most 1"),
        description="Pattern -> smallest share of its units that an axis keeps; of several the largest counts. "
        "Takes candidates away and adds none.",
    )
