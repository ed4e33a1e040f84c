"""The data set, how it is decoded, and what a training image goes through."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ofb_ray.config.base import Strict

BUNDLED = "digits"
NAMED = (BUNDLED, "folder", "cifar10", "cifar100")
PREFIXES = ("torch/", "hfds/")
Interpolation = Literal["bilinear", "bicubic", "nearest", "lanczos"]


class AugmentSpec(Strict):
    """What a training image goes through. `true` is kind crop_flip, `false` none, a word its kind; keys are imagenet's.

    `crop_flip` shifts by up to an eighth of the side and mirrors. `imagenet` is timm's recipe: a random resized crop,
    a mirror, RandAugment (colour jitter where it is off), random erasing.
    """

    kind: Literal["none", "crop_flip", "imagenet"] = "none"
    rand_augment: str | None = Field("rand-m9-mstd0.5-inc1", description="timm's policy string; null: colour jitter")
    color_jitter: float = Field(0.4, ge=0)
    erasing: float = Field(0.25, ge=0, le=1, description="probability of random erasing, by noise")
    repeated: int = Field(1, ge=1, description="copies of an image in one batch; an epoch keeps its length")
    min_area: float = Field(0.08, gt=0, le=1, description="smallest share of the image that a crop keeps")

    @model_validator(mode="before")
    @classmethod
    def _flag_is_a_kind(cls, value: Any) -> Any:
        if isinstance(value, bool):
            return {"kind": "crop_flip" if value else "none"}
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> AugmentSpec:
        extra = sorted(self.model_fields_set - {"kind"})
        changed = [key for key in extra if getattr(self, key) != type(self).model_fields[key].default]
        if changed and self.kind != "imagenet":
            raise ValueError(f"{changed[0]} belongs to kind imagenet, not to {self.kind}")
        return self


class DataSpec(Strict):
    """A data set: `digits` (bundled), `folder` (ImageNet layout), `cifar10`, `cifar100`, `torch/NAME`, `hfds/NAME`.

    `folder` reads `root`/train/<class>/* and `root`/{test,val}/<class>/*. The named sets lie under `root`, where
    torchvision or the hub keeps them; `download: true` fetches them first.
    """

    name: str = BUNDLED
    root: str | None = None
    download: bool = False
    image_size: int = Field(8, ge=4, description="default: 8 for digits, 32 for CIFAR, else 224")
    val_share: float = Field(0.15, gt=0, lt=1)
    train_limit: int | None = Field(None, ge=1)
    test_limit: int | None = Field(None, ge=1)
    mean: tuple[float, ...] | None = Field(None, description="default: what the weights were trained with")
    std: tuple[float, ...] | None = None
    interpolation: Interpolation | None = Field(None, description="default: that of the weights, else bicubic")
    crop: float | None = Field(None, gt=0, le=1, description="centre crop at test; default: of the weights, else 1")
    augment: AugmentSpec = AugmentSpec()
    decode: Literal["auto", "once", "stream"] = Field(
        "auto", description="once: into bytes that all trials of a machine map; auto: once where they fit 4 GiB"
    )
    workers: int | None = Field(None, ge=0, description="decoding processes; default: the trial's CPUs minus one")
    unreadable: float = Field(0.001, ge=0, lt=1, description="share of a split's images that may be unreadable")
    classes: int | None = Field(None, ge=2, description="as declared, so that a dry run needs no data")
    train_images: int | None = Field(None, ge=1, description="as declared, so that a dry run needs no data")

    @model_validator(mode="before")
    @classmethod
    def _size_follows_the_set(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("image_size") is None:
            name = value.get("name", BUNDLED)
            sizes = {BUNDLED: 8, "cifar10": 32, "cifar100": 32}
            return {**value, "image_size": sizes.get(name, 224) if isinstance(name, str) else 224}
        return value

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in NAMED or (value.startswith(PREFIXES) and not value.endswith("/")):
            return value
        raise ValueError(f"no data set {value!r}; there are {', '.join(NAMED)}, torch/NAME (torchvision), hfds/NAME")

    @model_validator(mode="after")
    def _root_is_given(self) -> DataSpec:
        if self.name == "folder" and not self.root:
            raise ValueError("data: folder needs `root`, the folder that holds train/ and test/ or val/")
        return self
