"""The three training phases: dense, search, fine-tune."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ofb_ray.config.base import Json, Strict
from ofb_ray.config.model import SpaceSpec


class DistillSpec(Strict):
    """A teacher beside the labels: L = (1 - share) L_labels + share T^2 KL(teacher / T || student / T).

    `teacher: dense` is the trial's own dense network; any other name is a timm model, at the student's image size.
    """

    teacher: str = "dense"
    args: Json = Field(default_factory=dict)
    pretrained: bool = True
    weights: str | None = None
    share: float = Field(0.5, gt=0, le=1)
    temperature: float = Field(1.0, gt=0)


class PhaseSpec(Strict):
    """What the three training phases share: AdamW with decoupled decay, linear warm-up, cosine per step."""

    epochs: int = Field(30, ge=0)
    batch_size: int = Field(64, ge=1, description="images per optimizer step, over all workers and micro-batches")
    micro_batch: int | None = Field(None, ge=1, description="images that one worker runs at once; null: its whole part")
    lr: float = Field(1e-3, gt=0)
    min_lr: float = Field(1e-5, ge=0)
    warmup: float = Field(0.1, ge=0, le=1, description="share of the phase with a linear warm-up of the learning rate")
    weight_decay: float = Field(0.05, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    clip_grad: float | None = Field(None, gt=0)
    mixup: float = Field(0.0, ge=0, description="alpha of mixup; in the search only once every width is decided")
    cutmix: float = Field(0.0, ge=0, description="alpha of cutmix, likewise; half of the steps take each")
    distill: DistillSpec | None = None
    compile: bool = Field(False, description="torch.compile, while no cut changes the shapes")

    @model_validator(mode="after")
    def _micro_batch_fits(self) -> PhaseSpec:
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            raise ValueError(f"micro_batch {self.micro_batch} is above batch_size {self.batch_size}")
        return self


class FitSpec(PhaseSpec):
    """Plain supervised training."""

    layer_decay: float | None = Field(None, gt=0, le=1, description="learning rate x this per layer below the head")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the averaged weights, which are then the result")


class DenseSpec(FitSpec):
    """Training of the dense network; `epochs: 0` takes the weights as they come."""

    lr: float = Field(2e-3, gt=0)

    @model_validator(mode="after")
    def _teacher_is_another(self) -> DenseSpec:
        if self.distill is not None and self.distill.teacher == "dense":
            raise ValueError("the dense network cannot teach itself: name a timm model as `distill.teacher`")
        return self


class PmimSpec(Strict):
    """Masked image modelling during the search: share of masked patch tokens, and the weight of its loss."""

    mode: Literal["off", "fixed", "progressive"] = "progressive"
    start: float = Field(0.05, ge=0, lt=1)
    end: float = Field(0.25, ge=0, lt=1, description="the share after warm-up, and the only one of mode fixed")
    weight: float | None = Field(None, ge=0, description="null: self-balancing, L_cls / L_rec held constant")


class SearchSpec(PhaseSpec):
    """The OFB search. Every ablation is a field; weights are those of the released code where it has them."""

    weight_decay: float = Field(1e-3, ge=0)
    mask: Literal["both", "importance", "sparsity"] = "both"
    mask_warmup: float = Field(0.2, ge=0, le=1, description="T_w as a share of the search: lambda and gamma settle")
    lambda_start: float = Field(0.99, ge=0, le=1)
    lambda_end: float = Field(0.1, ge=0, le=1)
    alpha_lr: float | None = Field(None, gt=0, description="peak learning rate of alpha; null: alpha_travel / steps")
    alpha_travel: float = Field(4.0, gt=0, description="distance that one logit can move over the search")
    score_travel: float = Field(4.0, ge=0, description="how far one score can move over the search")
    score_init: Literal["taylor", "random"] = "taylor"
    one_hot_weight: float = Field(0.5, ge=0)
    entropy: bool = True
    variance: bool = True
    score_penalty: bool = True
    eta_attention: float = Field(4e-4, ge=0)
    eta_other: float = Field(1e-4, ge=0)
    sigma_eps: float = Field(0.05, gt=0, lt=0.5, description="sigma is clamped to [eps, 1 - eps] in the tangent term")
    budget_weight: float = Field(5.0, ge=0)
    adapt_budget_weight: bool = True
    pmim: PmimSpec = PmimSpec()
    eliminations_per_epoch: int = Field(3, ge=1)
    threshold: float = Field(0.2, gt=0, lt=1, description="a candidate dies at p <= threshold / living candidates")
    decide_by: float = Field(0.5, gt=0, le=1, description="share of the search after which what is open is decided")
    space: SpaceSpec = SpaceSpec()


class FinetuneSpec(FitSpec):
    """Training of the fused subnet, head kept, in train mode."""

    epochs: int = Field(20, ge=0)
