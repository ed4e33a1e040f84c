"""What a user writes: frozen specs of a trial and of a sweep. Unknown keys are errors.

Every spec is a pydantic model, so its JSON form is its identity: `TrialSpec.key` hashes it. Reading them from YAML,
with the line of every error, is `specfile.py`'s work.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Json = dict[str, Any]


class Strict(BaseModel):
    """A frozen spec that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ModelSpec(Strict):
    """A timm model: any name of `timm.list_models()` with a supported family, and constructor arguments over it."""

    name: str = "vit_tiny_patch16_224"
    args: Json = Field(default_factory=dict)
    pretrained: bool = False
    weights: str | None = None


class DataSpec(Strict):
    """A data set. `digits` is bundled; `folder` reads `root`/train/<class>/* and `root`/{val,test}/<class>/*."""

    name: Literal["digits", "folder"] = "digits"
    root: str | None = None
    image_size: int = Field(8, ge=4)
    val_share: float = Field(0.15, gt=0, lt=1)
    train_limit: int | None = Field(None, ge=1)
    test_limit: int | None = Field(None, ge=1)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    augment: bool = False

    @model_validator(mode="after")
    def _root_is_given(self) -> DataSpec:
        if self.name == "folder" and not self.root:
            raise ValueError("data: folder needs `root`, the folder that holds train/ and test/ or val/")
        return self


class PhaseSpec(Strict):
    """What the three training phases share: AdamW with decoupled decay, linear warm-up, cosine per step."""

    epochs: int = Field(30, ge=0)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(1e-3, gt=0)
    min_lr: float = Field(1e-5, ge=0)
    warmup: float = Field(0.1, ge=0, le=1, description="share of the phase with a linear warm-up of the learning rate")
    weight_decay: float = Field(0.05, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    clip_grad: float | None = Field(None, gt=0)


class DenseSpec(PhaseSpec):
    """Training of the dense network; `epochs: 0` takes the weights as they come."""

    lr: float = Field(2e-3, gt=0)


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


class FinetuneSpec(PhaseSpec):
    """Training of the fused subnet, head kept, in train mode."""

    epochs: int = Field(20, ge=0)


class Budget(Strict):
    """The compute target: exactly one of its fields. A bare number in YAML is a MAC ratio."""

    macs_ratio: float | None = Field(None, gt=0, le=1)
    gmacs: float | None = Field(None, gt=0)
    params: float | None = Field(None, ge=1)
    sparsity: float | None = Field(None, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _number_is_a_ratio(cls, value: Any) -> Any:
        return {"macs_ratio": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Budget:
        if sum(value is not None for value in self.model_dump().values()) != 1:
            raise ValueError("a budget is a number (MAC ratio) or exactly one of macs_ratio, gmacs, params, sparsity")
        return self

    @property
    def resource(self) -> Literal["macs", "params"]:
        """What the budget limits."""
        return "params" if self.params is not None else "macs"

    def target(self, dense_macs: int, dense_params: int) -> int:
        """The limit in MACs or parameters, rounded down."""
        if self.params is not None:
            return int(self.params)
        if self.gmacs is not None:
            return int(self.gmacs * 1e9)
        ratio = self.macs_ratio if self.macs_ratio is not None else 1 - (self.sparsity or 0.0)
        return int(ratio * dense_macs)

    @property
    def label(self) -> str:
        """Short text for tables: `0.5`, `1.7 GMACs`, `5M params`, `sparsity 0.5`."""
        if self.macs_ratio is not None:
            return f"{self.macs_ratio:g}"
        if self.gmacs is not None:
            return f"{self.gmacs:g} GMACs"
        return f"{self.params / 1e6:g}M params" if self.params is not None else f"sparsity {self.sparsity:g}"


class TrialSpec(Strict):
    """All that decides a trial's numbers. Two trials with equal specs give equal records on one kind of machine."""

    model: ModelSpec = ModelSpec()
    data: DataSpec = DataSpec()
    dense: DenseSpec = DenseSpec()
    search: SearchSpec = SearchSpec()
    finetune: FinetuneSpec = FinetuneSpec()
    budget: Budget
    seed: int = Field(0, ge=0)

    @property
    def key(self) -> str:
        """Hash of the resolved spec: the trial's identity."""
        return _digest(self.model_dump(mode="json"))

    @property
    def dense_key(self) -> str:
        """Hash of what decides the dense network: trials that share it train it once."""
        return _digest(self.model_dump(mode="json", include={"model", "data", "dense", "seed"}))


class Parameter(Strict):
    """One explored value: a range or a list, as in W&B sweeps; `when` makes it conditional on other parameters."""

    min: float | int | None = None
    max: float | int | None = None
    log: bool = False
    integer: bool = False
    values: tuple[Any, ...] | None = None
    when: Json | None = None

    @model_validator(mode="after")
    def _range_or_values(self) -> Parameter:
        if (self.values is None) == (self.min is None or self.max is None):
            raise ValueError("a parameter has either `min` and `max` or `values`")
        if self.values is not None and not self.values:
            raise ValueError("`values` is empty")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"min {self.min} is not below max {self.max}")
        if self.log and self.min is not None and self.min <= 0:
            raise ValueError(f"log needs min > 0, not {self.min}")
        return self


class Objective(Strict):
    """A record's metric and its direction."""

    metric: Literal["top1_val", "top5_val", "macs", "params", "wall_seconds"]
    goal: Literal["maximize", "minimize"]


class Constraint(Strict):
    """A feasible trial has `metric` at most / at least the bound; Optuna is told by how much it is violated."""

    metric: Literal["top1_val", "top5_val", "macs", "params", "wall_seconds"]
    max: float | None = None
    min: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Constraint:
        if (self.max is None) == (self.min is None):
            raise ValueError("a constraint has exactly one of `max` and `min`")
        return self


class Resources(Strict):
    """What Ray reserves for one trial. `concurrent` caps the trials at a time (default: what fits)."""

    cpus: float = Field(1, gt=0)
    gpus: float = Field(0, ge=0)
    concurrent: int | None = Field(None, ge=1)


class Failure(Strict):
    """How often a trial whose process died is started again (it goes on from its checkpoint)."""

    retries: int = Field(3, ge=0)


class SweepSpec(Strict):
    """A sweep file: budgets x grid x seeds are run exhaustively, `trials` suggestions of Optuna in each cell."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    question: str = ""
    model: ModelSpec = ModelSpec()
    data: DataSpec = DataSpec()
    dense: DenseSpec = DenseSpec()
    search: SearchSpec = SearchSpec()
    finetune: FinetuneSpec = FinetuneSpec()
    budgets: tuple[Budget, ...] = Field(min_length=1)
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    objectives: tuple[Objective, ...] = (
        Objective(metric="top1_val", goal="maximize"),
        Objective(metric="macs", goal="minimize"),
    )
    constraints: tuple[Constraint, ...] = ()
    sampler: Literal["auto", "tpe", "gp", "random", "nsga2"] = "auto"
    scheduler: Literal["fifo"] = "fifo"
    trials: int = Field(1, ge=1, description="suggestions in each cell of budgets x grid x seeds")
    resources: Resources = Resources()
    failure: Failure = Failure()
    storage: str = "results"
    loggers: tuple[Literal["csv", "json", "tensorboard"], ...] = ()

    @field_validator("objectives")
    @classmethod
    def _objectives_differ(cls, value: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if not value or len({objective.metric for objective in value}) != len(value):
            raise ValueError("`objectives` needs at least one metric, each once")
        return value

    @property
    def cells(self) -> list[Json]:
        """The exhaustive part, in order: one `{"budget": ..., "seed": ..., dotted grid key: ...}` per cell."""
        cells: list[Json] = [{}]
        axes: dict[str, tuple[Any, ...]] = {"budget": self.budgets, **self.grid, "seed": self.seeds}
        for key, values in axes.items():
            cells = [{**cell, key: value} for cell in cells for value in values]
        return cells

    def trial(self, cell: Json, params: Json) -> TrialSpec:
        """The spec of one trial: the sweep's sections with `cell` and Optuna's `params` (dotted keys) put in."""
        tree = self.model_dump(mode="json", include={"model", "data", "dense", "search", "finetune"})
        for key, value in {**cell, **params}.items():
            put(tree, key, value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value)
        return TrialSpec.model_validate(tree)


def put(tree: Json, dotted: str, value: Any) -> None:
    """Set `tree[a][b][c] = value` for the dotted key `a.b.c`, making the levels that are missing."""
    *path, last = dotted.split(".")
    for name in path:
        tree = tree.setdefault(name, {})
    tree[last] = value


def _digest(tree: Json) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]
