"""A sweep file: what is run exhaustively, what Optuna explores, and on which resources."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ofb_ray.config.base import Json, Strict, put
from ofb_ray.config.data import DataSpec
from ofb_ray.config.loggers import Loggers
from ofb_ray.config.model import ModelSpec
from ofb_ray.config.space import expand, grid_points
from ofb_ray.config.train import DenseSpec, FinetuneSpec, SearchSpec
from ofb_ray.config.trial import Budget, TrialSpec


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


class Sampler(BaseModel):
    """Who suggests: a name, or a mapping of `name` and the sampler's own options, which `tuning.samplers` checks."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: Literal["auto", "gp", "tpe", "nsga2", "nsga3", "random", "grid", "qmc"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _word_is_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> Json:
        """All but the name."""
        return dict(self.model_extra or {})


class GateSpec(Strict):
    """Stop a trial `epochs` epochs into fine-tuning unless it stands in the best `keep` share of its budget.

    `min_trials`: so many trials of the budget, this one included, must have come so far before one is stopped.
    """

    epochs: int = Field(3, ge=1)
    keep: float = Field(0.5, gt=0, lt=1)
    min_trials: int = Field(4, ge=2)


class Scheduler(Strict):
    """`fifo` (every trial runs to its end) or a mapping with a `gate`."""

    gate: GateSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _fifo_has_no_gate(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "fifo":
            raise ValueError(f"is `fifo` or has a `gate`, such as {{gate: {{epochs: 3, keep: 0.5}}}}, not {value!r}")
        return {} if value == "fifo" else value


class Promote(Strict):
    """When all trials are done, the `best` of each budget are fine-tuned anew for `epochs` epochs, as new trials."""

    best: int = Field(2, ge=1)
    epochs: int = Field(ge=1)


class Resources(Strict):
    """What Ray reserves for one trial: `workers` processes that train one network data-parallel.

    A GPU may be shared: `gpus_per_worker: 0.5` runs two trials on one. `concurrent` caps the trials at a time (default:
    what fits). `gpu_tflops` is only for estimates on a machine without GPUs.
    """

    workers: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    concurrent: int | None = Field(None, ge=1)
    gpu_tflops: float | None = Field(None, gt=0, description="sustained in training, of one GPU; default: assume 40")

    @model_validator(mode="after")
    def _whole_gpus(self) -> Resources:
        gpus = self.gpus_per_worker
        if gpus != int(gpus) and (gpus > 1 or self.workers > 1):
            raise ValueError(f"gpus_per_worker {gpus:g}: only a trial of one worker may take a share of a GPU")
        if gpus > 1:
            raise ValueError(f"gpus_per_worker {gpus:g}: a worker uses one GPU; for more GPUs ask for more `workers`")
        return self

    @property
    def cpus(self) -> float:
        """CPUs of one trial."""
        return self.workers * self.cpus_per_worker

    @property
    def gpus(self) -> float:
        """GPUs of one trial."""
        return self.workers * self.gpus_per_worker


class Failure(Strict):
    """When a trial is started again (it goes on from its checkpoint), and how often.

    `silent_minutes`: a trial that has not reported for so long is hung; its process is ended. null: wait for ever.
    """

    retries: int = Field(3, ge=0)
    silent_minutes: float | None = Field(240, gt=0, le=1e6)  # a clock's range


class SweepSpec(Strict):
    """A sweep file: budgets x grid x seeds are run exhaustively, `trials` suggestions of the sampler in each cell."""

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
    sampler: Sampler = Sampler()
    points: tuple[Json, ...] = Field((), description="tried in each cell after the file's own values")
    warm_start: tuple[str, ...] = Field((), description="results folders whose records the sampler learns from")
    scheduler: Scheduler = Scheduler()
    promote: Promote | None = None
    trials: int | None = Field(None, ge=1, description="suggestions in each cell; default: 1, or the whole grid")
    resources: Resources = Resources()
    failure: Failure = Failure()
    storage: str = "results"
    loggers: Loggers = ({"tensorboard": {}},)

    @field_validator("objectives")
    @classmethod
    def _objectives_differ(cls, value: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if not value or len({objective.metric for objective in value}) != len(value):
            raise ValueError("`objectives` needs at least one metric, each once")
        return value

    @model_validator(mode="after")
    def _fits_fine_tuning(self) -> SweepSpec:
        gate = self.scheduler.gate
        if gate is not None and not self.parameters:
            raise ValueError("a gate chooses among suggestions: give `parameters`, or set scheduler: fifo")
        if gate is not None and gate.epochs >= self.finetune.epochs:
            raise ValueError(
                f"the gate's epochs ({gate.epochs}) must be below finetune.epochs ({self.finetune.epochs}), "
                "or there is nothing left to save"
            )
        if self.promote is not None and self.promote.epochs <= self.finetune.epochs:
            raise ValueError(f"promote.epochs must be above finetune.epochs ({self.finetune.epochs})")
        return self

    @property
    def cells(self) -> list[Json]:
        """The exhaustive part, in order: one `{"budget": ..., "seed": ..., dotted grid key: ...}` per cell."""
        cells: list[Json] = [{}]
        axes: dict[str, tuple[Any, ...]] = {"budget": self.budgets, **self.grid, "seed": self.seeds}
        for key, values in axes.items():
            cells = [{**cell, **expand(key, value)} for cell in cells for value in values]
        return cells

    def wanted(self, cell: Json) -> int:
        """How many trials `cell` gets."""
        if not self.parameters:
            return 1
        if self.sampler.name == "grid":
            size = len(grid_points(self.parameters, cell))
            return min(size, self.trials or size)
        return self.trials or 1

    def trial(self, cell: Json, params: Json) -> TrialSpec:
        """The spec of one trial: the sweep's sections with `cell` and Optuna's `params` (dotted keys) put in."""
        tree = self.model_dump(mode="json", include={"model", "data", "dense", "search", "finetune"})
        for key, value in {**cell, **params}.items():
            put(tree, key, value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value)
        return TrialSpec.model_validate(tree)
