"""The network and its search space."""

from __future__ import annotations

from pydantic import Field

from ofb_ray.config.base import Json, Strict


class ModelSpec(Strict):
    """A timm model: any name of `timm.list_models()` with a supported family, and constructor arguments over it."""

    name: str = "vit_tiny_patch16_224"
    args: Json = Field(default_factory=dict)
    pretrained: bool = False
    weights: str | None = None


class SpaceSpec(Strict):
    """The candidate sizes, as shares of the full width (released code: `ofb-method.md` section 2 in the README)."""

    embedding: bool = True
    embedding_min: float = Field(0.5, gt=0, le=1)
    embedding_step: int | None = Field(None, ge=1, description="channels; default min(D/32, 12)")
    head_min: int = Field(2, ge=1)
    head_step: int = Field(2, ge=1)
    channel_min: float = Field(0.25, gt=0, le=1)
    channel_step: float = Field(0.125, gt=0, le=1)
    mlp_min: float = Field(0.25, gt=0, le=1)
    mlp_step: float = Field(0.125, gt=0, le=1)
