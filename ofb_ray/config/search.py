"""The OFB search: its losses, schedules and ablations."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from ofb_ray.config.base import Strict, unit
from ofb_ray.config.model import SpaceSpec
from ofb_ray.config.train import PhaseSpec


class PmimSpec(Strict):
    """Masked image modelling during the search: share of masked patch tokens, and the weight of its loss."""

    mode: Literal["off", "fixed", "progressive"] | None = Field(
        None,
        description="`off`; `fixed`: always mask the share `end`; `progressive`: the masked share goes from `start` "
        "to `end`; null takes the recipe's: `progressive` in `paper`, else `off`.",
    )
    start: float = Field(
        0.05,
        ge=0,
        lt=1,
        json_schema_extra=unit("share"),
        description="Masked share of patch tokens at the first step (`progressive`).",
    )
    end: float = Field(
        0.25,
        ge=0,
        lt=1,
        json_schema_extra=unit("share"),
        description="Masked share of patch tokens after `mask_warmup`, and the only one of `fixed`.",
    )
    weight: float | None = Field(
        None,
        ge=0,
        json_schema_extra=unit("weight"),
        description="Weight of the reconstruction loss; null keeps it equal to the task loss (L_cls / L_rec, not "
        "differentiated).",
    )


class Parts(NamedTuple):
    """What a search takes from calibration images: the basis, the start, compensation at every cut."""

    canonical: bool
    sensitivity: bool
    compensate: bool

    @property
    def any(self) -> bool:
        """Whether calibration images are needed at all."""
        return any(self)


class SearchSpec(PhaseSpec):
    """The OFB search. Every ablation is a field; weights are those of the released code where it has them."""

    recipe: Literal["calibrated", "paper"] = Field(
        "calibrated",
        description="`calibrated`: canonical basis, a start from measured sensitivities, compensated cuts. `paper`: "
        "none of them, as released.",
    )
    basis: Literal["canonical", "plain"] | None = Field(
        None,
        description="Turn the dense network into its canonical basis first, its function unchanged; null takes the "
        "recipe's.",
    )
    start: Literal["sensitivity", "random"] | None = Field(
        None,
        description="Start alpha from what each size costs the dense network, at the budget, or at random; null takes "
        "the recipe's.",
    )
    compensate: bool | None = Field(
        None,
        description="Fold what cut units said into the weights that read the others, by least squares; null takes the "
        "recipe's.",
    )
    calibration_images: int = Field(
        512,
        ge=1,
        json_schema_extra=unit("images"),
        description="Training images that basis, sensitivities and compensation look at.",
    )
    doubt: float = Field(
        0.5,
        gt=0,
        json_schema_extra=unit("factor"),
        description="Temperature of the start: a size that costs this many times the average axis' divergence more "
        "than the best one is e times less probable.",
    )

    weight_decay: float = Field(
        1e-3,
        ge=0,
        json_schema_extra=unit("factor"),
        description="Decoupled weight decay of matrices and of alpha during the search.",
    )
    mask: Literal["both", "importance", "sparsity"] = Field(
        "both", description="Bi-mask of importance and sparsity (`both`), or one of its parts alone (ablation)."
    )
    mask_warmup: float = Field(
        0.2,
        ge=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Part T_w of the search in which lambda and the masked share reach their final values.",
    )
    lambda_start: float = Field(
        0.99,
        ge=0,
        le=1,
        json_schema_extra=unit("weight"),
        description="Weight lambda of importance in the bi-mask at the first step; sparsity has 1 - lambda.",
    )
    lambda_end: float = Field(
        0.1,
        ge=0,
        le=1,
        json_schema_extra=unit("weight"),
        description="Weight lambda of importance in the bi-mask after `mask_warmup`.",
    )
    alpha_lr: float | None = Field(
        None,
        gt=0,
        json_schema_extra=unit("per step"),
        description="Peak learning rate of alpha; null derives it from `alpha_travel`.",
    )
    alpha_travel: float | None = Field(
        None,
        gt=0,
        json_schema_extra=unit("logits"),
        description="Distance that one logit of alpha can move over the whole search; null is 4 from a random start "
        "and 1 from sensitivities, which noise would drown.",
    )
    score_travel: float = Field(
        4.0,
        ge=0,
        json_schema_extra=unit("logits"),
        description="Distance that one importance score can move over the whole search.",
    )
    score_init: Literal["taylor", "random"] = Field(
        "taylor",
        description="Initial scores: first-order Taylor importance of the dense network, or noise as in the released "
        "code.",
    )
    one_hot_weight: float = Field(
        0.5, ge=0, json_schema_extra=unit("weight"), description="Weight of the adaptive one-hot loss."
    )
    entropy: bool = Field(True, description="Use the entropy term of the one-hot loss.")
    variance: bool = Field(True, description="Use the tangent (variance) term of the one-hot loss.")
    score_penalty: bool = Field(True, description="Use the penalty on the sum of importance scores.")
    eta_attention: float = Field(
        4e-4, ge=0, json_schema_extra=unit("weight"), description="Weight of the score penalty on attention axes."
    )
    eta_other: float = Field(
        1e-4,
        ge=0,
        json_schema_extra=unit("weight"),
        description="Weight of the score penalty on embedding and MLP axes.",
    )
    sigma_eps: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        json_schema_extra=unit("share"),
        description="Distance that sigma keeps from 0 and 1, the poles of the tangent term.",
    )
    budget_weight: float = Field(
        5.0,
        ge=0,
        json_schema_extra=unit("weight"),
        description="Weight of the budget loss ((F(p) - F_target) / F_dense)^2; the initial one where it adapts.",
    )
    adapt_budget_weight: bool = Field(
        True, description="Raise the weight of the budget loss while the expected cost misses the target."
    )
    pmim: PmimSpec = Field(PmimSpec(), description="Progressive masked image modelling during the search.")
    eliminations_per_epoch: int = Field(
        3,
        ge=1,
        json_schema_extra=unit("times"),
        description="How often in an epoch improbable candidates are eliminated and the network is cut.",
    )
    threshold: float = Field(
        0.2,
        gt=0,
        lt=1,
        json_schema_extra=unit("factor"),
        description="A candidate is eliminated at a probability of at most `threshold` / number of living candidates.",
    )
    decide_by: float | None = Field(
        None,
        gt=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Part of the search after which the projection onto the budget decides the axes that are still "
        "open; null is 0.5 from a random start and 0.25 from sensitivities.",
    )
    space: SpaceSpec = Field(SpaceSpec(), description="Candidate sizes of every axis.")

    @property
    def effective(self) -> SearchSpec:
        """The same search with nothing left to the recipe."""
        parts, pmim = self.parts, self.pmim.model_copy(update={"mode": self.pmim_mode})
        stated = {
            "basis": "canonical" if parts.canonical else "plain",
            "start": "sensitivity" if parts.sensitivity else "random",
            "compensate": parts.compensate,
            "alpha_travel": self.travel,
            "decide_by": self.decided_at,
            "pmim": pmim,
        }
        return self.model_copy(update=stated)

    @property
    def pmim_mode(self) -> Literal["off", "fixed", "progressive"]:
        """How tokens are masked, the single key before the recipe."""
        return self.pmim.mode or ("progressive" if self.recipe == "paper" else "off")

    @property
    def travel(self) -> float:
        """`alpha_travel`, in logits."""
        return self.alpha_travel or (1.0 if self.parts.sensitivity else 4.0)

    @property
    def decided_at(self) -> float:
        """`decide_by`, as a share of the search."""
        return self.decide_by or (0.25 if self.parts.sensitivity else 0.5)

    @property
    def parts(self) -> Parts:
        """The parts of the recipe, single keys before the recipe."""
        default = self.recipe == "calibrated"
        return Parts(
            default if self.basis is None else self.basis == "canonical",
            default if self.start is None else self.start == "sensitivity",
            default if self.compensate is None else self.compensate,
        )
