"""The network and its search space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from ofb_ray.config.base import Json, Strict, unit
from ofb_ray.inputs import PathText

# What timm.create_model would fetch or open in a constructor argument's place.
_ORIGINS = ("cache_dir", "checkpoint_path", "features_only", "model_name", "scriptable")
_LARGEST = 1 << 20
_MOST_BLOCKS = 256
_MOST_WEIGHTS = 2e10  # of the blocks; the largest of timm's networks have 2e10 in all


def check_arguments(name: str, args: Mapping[str, Any]) -> None:
    """Refuse a model whose name or arguments would fetch or open something, or fill any machine's memory.

    Raises:
        ValueError: says which, and what to write instead.
    """
    if not name.replace(".", "").replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"{name!r} is no name of timm's: neither a URL, a path nor a hub's prefix is taken")
    for key, value in args.items():
        if key in _ORIGINS or key.startswith("pretrained"):
            raise ValueError(f"args.{key} is not taken: weights come by `pretrained: true` or `weights: FILE`")
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int | float) and not abs(number) <= _LARGEST:
                raise ValueError(f"args.{key} is {number:g}: at most {_LARGEST}")
    depth, width = (_total(args.get(key), key) for key in ("depth", "embed_dim"))
    ratio = args.get("mlp_ratio", 4)
    ratio = ratio if isinstance(ratio, int | float) else 4
    for key in ("depth", "depths"):
        if (blocks := _total(args.get(key), key)) > _MOST_BLOCKS:
            raise ValueError(f"args.{key} makes {blocks:g} blocks: at most {_MOST_BLOCKS}")
    if depth * width**2 * (4 + 2 * ratio) > _MOST_WEIGHTS:
        raise ValueError(f"args make a network of more than {_MOST_WEIGHTS:.0e} weights: check depth and embed_dim")


def _total(value: Any, key: str) -> float:
    """The number or the sum of numbers that an argument is; a name's own value is unknown, and small."""
    default = {"depth": 12, "embed_dim": 192}.get(key, 0)
    values = value if isinstance(value, list | tuple) else [default if value is None else value]
    return math.fsum(each for each in values if isinstance(each, int | float))


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
    weights: PathText | None = Field(
        None,
        description="File to start from instead, `.safetensors` or `.pth` (tensors only); classes, image size, patch "
        "size and channels may differ.",
    )

    @model_validator(mode="after")
    def _builds_only(self) -> ModelSpec:
        check_arguments(self.name, self.args)
        return self


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
