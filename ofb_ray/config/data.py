"""The data set, how it is decoded, and what a training image goes through."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ofb_ray.config.base import Json, Strict, unit
from ofb_ray.inputs import PathText

BUNDLED = "digits"
NAMED = (BUNDLED, "scenes", "folder", "cifar10", "cifar100")
PREFIXES = ("torch/", "hfds/")
# `package.module:function`; `memory:` and a fingerprint are data sets that live in this process alone.
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_MEMORY = re.compile(r"memory:[0-9a-f]{16}")
Interpolation = Literal["bilinear", "bicubic", "nearest", "lanczos"]


class AugmentSpec(Strict):
    """What a training image goes through. `true` is kind crop_flip, `false` none, a word its kind; keys are imagenet's.

    `crop_flip` shifts by up to an eighth of the side and mirrors. `imagenet` is timm's recipe: a random resized crop,
    a mirror, RandAugment (colour jitter where it is off), random erasing.
    """

    kind: Literal["none", "crop_flip", "imagenet"] = Field(
        "none",
        description="`none`; `crop_flip`: shift by up to an eighth of the side and mirror; `imagenet`: timm's recipe.",
    )
    rand_augment: str | None = Field(
        "rand-m9-mstd0.5-inc1", description="timm's RandAugment policy string; null applies colour jitter instead."
    )
    color_jitter: float = Field(
        0.4,
        ge=0,
        json_schema_extra=unit("factor"),
        description="Strength of the colour jitter, which acts where `rand_augment` is null.",
    )
    erasing: float = Field(
        0.25,
        ge=0,
        le=1,
        json_schema_extra=unit("probability"),
        description="Probability that a random box of the image is replaced by noise.",
    )
    repeated: int = Field(
        1,
        ge=1,
        json_schema_extra=unit("copies"),
        description="Copies of an image in one batch; an epoch keeps its length.",
    )
    min_area: float = Field(
        0.08,
        gt=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Smallest part of the image area that a random resized crop keeps.",
    )

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
    """A data set, its decoding and its preprocessing."""

    absent: ClassVar[frozenset[str]] = frozenset({"args", "channels"})

    name: str = Field(
        BUNDLED,
        description="Data set: `digits` and `scenes` (bundled), `folder`, `cifar10`, `cifar100`, "
        "`torch/NAME` (torchvision), `hfds/NAME` (Hugging Face hub) or `package.module:function`, which returns train "
        "and test, or train, val and test, as map-style datasets of (image, label).",
    )
    args: Json | None = Field(
        None, description="Keyword arguments of the function that `name` names, a mapping; null is none."
    )
    channels: Literal[1, 3] | None = Field(
        None,
        json_schema_extra=unit("channels", "1 or 3"),
        description="Channels that the pictures of a function's datasets are converted to; null keeps theirs.",
    )
    root: PathText | None = Field(
        None,
        description="Folder of the data set. `folder` reads `train/<class>/*` and `test/<class>/*` or `val/<class>/*`, "
        "or `<class>/*`; named sets lie where torchvision or the hub keeps them.",
    )
    download: bool = Field(False, description="Fetch a named set into `root` first.")
    image_size: int = Field(
        8,
        ge=4,
        json_schema_extra=unit("pixels"),
        description="Side of the square input image; 8 for digits, 16 for scenes, 32 for CIFAR, else 224 where "
        "it is not given.",
    )
    val_share: float = Field(
        0.15,
        gt=0,
        lt=1,
        json_schema_extra=unit("share"),
        description="Part of the training images that is held out, class by class. It selects; the test split is "
        "read once, at the end.",
    )
    train_limit: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("images"),
        description="Use at most this many training images, in the classes' proportions; null uses all.",
    )
    test_limit: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("images"),
        description="Use at most this many test images, in the classes' proportions; null uses all.",
    )
    mean: tuple[float, ...] | None = Field(
        None,
        json_schema_extra=unit("1 (pixels scaled to 0..1)", "any"),
        description="Mean that is subtracted from each channel, a number for all or one for each; null takes that of "
        "the pretrained weights, else 0.5.",
    )
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None,
        json_schema_extra=unit("1 (pixels scaled to 0..1)", "> 0"),
        description="Standard deviation that each channel is divided by, a number for all or one for each; null takes "
        "that of the pretrained weights, else 0.5.",
    )
    interpolation: Interpolation | None = Field(
        None, description="Interpolation of resized images; null takes that of the pretrained weights, else bicubic."
    )
    crop: float | None = Field(
        None,
        gt=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Centre crop of test images: the shortest side is resized to `image_size` / `crop`. Null takes "
        "that of the pretrained weights, else 1.",
    )
    augment: AugmentSpec = Field(
        AugmentSpec(),
        description="Augmentation of training images: `true` (`crop_flip`), `false` (none), a kind, or a mapping "
        "with a `kind`.",
    )
    decode: Literal["auto", "once", "stream"] = Field(
        "auto",
        description="`once` decodes images into a file of bytes that all trials of a machine map; `stream` decodes "
        "them in every epoch; `auto` is `once` where the bytes fit 4 GiB.",
    )
    workers: int | None = Field(
        None,
        ge=0,
        json_schema_extra=unit("processes"),
        description="Processes that decode images; null is the trial's CPUs minus one. No part of a trial's identity.",
    )
    unreadable: float = Field(
        0.001,
        ge=0,
        lt=1,
        json_schema_extra=unit("share"),
        description="Part of a split's images that may be unreadable: they are named and skipped; more of them end "
        "the trial.",
    )
    classes: int | None = Field(
        None,
        ge=2,
        json_schema_extra=unit("classes"),
        description="Number of classes as declared, so that a dry run needs no data.",
    )
    train_images: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("images"),
        description="Number of training images as declared, so that a dry run needs no data.",
    )

    @model_validator(mode="before")
    @classmethod
    def _size_follows_the_set(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("image_size") is None:
            name = value.get("name", BUNDLED)
            sizes = {BUNDLED: 8, "scenes": 16, "cifar10": 32, "cifar100": 32}
            return {**value, "image_size": sizes.get(name, 224) if isinstance(name, str) else 224}
        return value

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _number_is_for_all_channels(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in NAMED or (value.startswith(PREFIXES) and not value.endswith("/")):
            return value
        if _FUNCTION.fullmatch(value) or _MEMORY.fullmatch(value):
            return value
        raise ValueError(
            f"no data set {value!r}; there are {', '.join(NAMED)}, torch/NAME (torchvision), hfds/NAME and "
            "package.module:function"
        )

    @model_validator(mode="after")
    def _root_is_given(self) -> DataSpec:
        if self.name == "folder" and not self.root:
            raise ValueError("data: folder needs `root`, the folder that holds train/ and test/ or val/")
        for key in ("args", "channels"):
            if getattr(self, key) is not None and not self.by_function:
                raise ValueError(f"data.{key} belongs to a data set by function, not to {self.name}")
        return self

    @property
    def by_function(self) -> bool:
        """Whether the data set is no named one but map-style datasets, from a function or in memory."""
        return ":" in self.name
