"""The training phases: what all share, dense training and fine-tuning."""

from __future__ import annotations

from pydantic import Field, model_validator

from ofb_ray.config.base import Json, Strict, unit
from ofb_ray.inputs import PathText


class DistillSpec(Strict):
    """A teacher beside the labels: L = (1 - share) L_labels + share T^2 KL(teacher / T || student / T).

    `teacher: dense` is the trial's own dense network; any other name is a timm model, at the student's image size.
    """

    teacher: str = Field(
        "dense", description="`dense`, the trial's own dense network, or a timm model, run at the student's image size."
    )
    args: Json = Field(default_factory=dict, description="Constructor arguments of a timm teacher.")
    pretrained: bool = Field(True, description="Take the pretrained weights of a timm teacher's tag.")
    weights: PathText | None = Field(
        None, description="File with the weights of a timm teacher, instead of a download."
    )
    share: float = Field(
        0.5,
        gt=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Part of the loss that comes from the teacher; the labels have the rest.",
    )
    temperature: float = Field(
        1.0,
        gt=0,
        json_schema_extra=unit("factor"),
        description="Temperature T of both softmaxes in the distillation term.",
    )


class PhaseSpec(Strict):
    """What the three training phases share: AdamW with decoupled decay, linear warm-up, cosine per step."""

    epochs: int = Field(
        30, ge=0, json_schema_extra=unit("epochs"), description="Passes over the training images in this phase."
    )
    batch_size: int = Field(
        64,
        ge=1,
        json_schema_extra=unit("images"),
        description="Images per optimizer step, over all workers and micro-batches.",
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("images"),
        description="Images that one worker runs at once, with accumulated gradients; null is its whole part of the "
        "batch. At most `batch_size`.",
    )
    lr: float = Field(1e-3, gt=0, json_schema_extra=unit("per step"), description="Peak learning rate of AdamW.")
    min_lr: float = Field(
        1e-5, ge=0, json_schema_extra=unit("per step"), description="Learning rate at the end of the cosine schedule."
    )
    warmup: float = Field(
        0.1,
        ge=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Part of the phase in which the learning rate rises linearly.",
    )
    weight_decay: float = Field(
        0.05,
        ge=0,
        json_schema_extra=unit("factor"),
        description="Decoupled weight decay of matrices; one-dimensional tensors, tokens and positions are exempt.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        json_schema_extra=unit("share"),
        description="Part of the target that is spread evenly over all classes.",
    )
    clip_grad: float | None = Field(
        None,
        gt=0,
        json_schema_extra=unit("gradient norm"),
        description="Largest norm of the whole gradient; null does not clip.",
    )
    mixup: float = Field(
        0.0,
        ge=0,
        json_schema_extra=unit("alpha"),
        description="Alpha of mixup's Beta distribution, 0 is off; in the search it begins once every width is "
        "decided.",
    )
    cutmix: float = Field(
        0.0,
        ge=0,
        json_schema_extra=unit("alpha"),
        description="Alpha of CutMix, 0 is off; where both are on, each step draws one of the two with equal chance.",
    )
    distill: DistillSpec | None = Field(None, description="Distillation from a teacher beside the labels; null is off.")
    compile: bool = Field(
        False, description="Run `torch.compile` on the network; in the search once every width is decided."
    )

    @model_validator(mode="after")
    def _micro_batch_fits(self) -> PhaseSpec:
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            raise ValueError(f"micro_batch {self.micro_batch} is above batch_size {self.batch_size}")
        return self


class FitSpec(PhaseSpec):
    """Plain supervised training."""

    layer_decay: float | None = Field(
        None,
        gt=0,
        le=1,
        json_schema_extra=unit("factor"),
        description="Factor on the learning rate for each layer below the head; null is off.",
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        json_schema_extra=unit("factor per step"),
        description="Decay of the exponential moving average of the weights, which is then the result; null is off.",
    )


class DenseSpec(FitSpec):
    """Training of the dense network; `epochs: 0` takes the weights as they come."""

    lr: float = Field(2e-3, gt=0, json_schema_extra=unit("per step"), description="Peak learning rate of AdamW.")

    @model_validator(mode="after")
    def _teacher_is_another(self) -> DenseSpec:
        if self.distill is not None and self.distill.teacher == "dense":
            raise ValueError("the dense network cannot teach itself: name a timm model as `distill.teacher`")
        return self


class FinetuneSpec(FitSpec):
    """Training of the fused subnet, head kept, in train mode."""

    epochs: int = Field(
        20, ge=0, json_schema_extra=unit("epochs"), description="Passes over the training images in this phase."
    )
