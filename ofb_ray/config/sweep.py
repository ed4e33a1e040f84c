"""A sweep file: what is run exhaustively, what Optuna explores, and on which resources."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from pydantic import BaseModel, Field, field_validator, model_validator

from ofb_ray.config.base import Json, Strict, put, unit
from ofb_ray.config.data import DataSpec
from ofb_ray.config.explore import Constraint, Objective, Parameter, Sampler
from ofb_ray.config.latency import LatencySpec
from ofb_ray.config.loggers import Loggers
from ofb_ray.config.model import ModelSpec
from ofb_ray.config.schedule import Chain, Failure, Promote, Resources, Scheduler
from ofb_ray.config.search import SearchSpec
from ofb_ray.config.space import expand, grid_points
from ofb_ray.config.train import DenseSpec, FinetuneSpec
from ofb_ray.config.trial import Budget, Link, TrialSpec, descent_fault
from ofb_ray.inputs import PathText

# It becomes the name of a folder.
SWEEP_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
# What a driver's memory and one folder's listing still bear.
MOST_TRIALS, MOST_CELLS = 100_000, 10_000


class SweepSpec(Strict):
    """A sweep file: budgets x grid x seeds are run exhaustively, `trials` suggestions of the sampler in each cell."""

    absent: ClassVar[frozenset[str]] = frozenset({"latency"})
    name: str = Field(
        pattern=f"^{SWEEP_NAME}$",
        description="Name of the sweep and of its results folder: letters, digits, `.`, `_` and `-`.",
    )
    question: str = Field("", description="What the sweep asks; the title of its figure.")
    model: ModelSpec = Field(ModelSpec(), description="The network.")
    data: DataSpec = Field(DataSpec(), description="The data set and its preprocessing.")
    dense: DenseSpec = Field(
        DenseSpec(),
        description="Training of the dense network, once per sweep and seed; `epochs: 0` takes the weights as they "
        "come.",
    )
    search: SearchSpec = Field(SearchSpec(), description="The OFB search.")
    finetune: FinetuneSpec = Field(FinetuneSpec(), description="Training of the fused subnet.")
    budgets: tuple[Budget, ...] = Field(
        min_length=1, description="Compute targets; a bare number is a MAC ratio, other forms are keys of `budgets[]`."
    )
    latency: LatencySpec | None = Field(
        None, description="How the latency is measured that budgets limit; null: by torch, one image, two threads."
    )
    grid: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict,
        description='Further exhaustive axes: dotted key -> list of values. `"a.x, b.x": [[1, 2], [3, 4]]` moves '
        "several keys together.",
    )
    seeds: tuple[int, ...] = Field(
        (0,),
        min_length=1,
        json_schema_extra=unit("seed", "≥ 0"),
        description="Seeds that every budget and grid point runs with.",
    )
    parameters: dict[str, Parameter] = Field(
        default_factory=dict, description="Keys that the sampler explores: dotted key -> range or values."
    )
    objectives: tuple[Objective, ...] = Field(
        (
            Objective(metric="top1_val", goal="maximize"),
            Objective(metric="macs", goal="minimize"),
        ),
        description="Metrics that the sampler optimises, each once.",
    )
    constraints: tuple[Constraint, ...] = Field(
        (), description="Bounds on metrics; the sampler learns by how much a trial violates them."
    )
    sampler: Sampler = Field(
        Sampler(),
        description="Optuna sampler that makes the suggestions: a name, or a mapping of `name` and the sampler's own "
        "options.",
    )
    points: tuple[Json, ...] = Field(
        (),
        description="Values of explored keys that are tried in each cell after the file's own; keys left out are the "
        "sampler's.",
    )
    warm_start: tuple[PathText, ...] = Field(
        (), description="Earlier results folders or URIs whose finished records the sampler learns from."
    )
    chain: Chain | None = Field(
        None,
        description="Go down through `budgets` in one search, each budget still a trial with its own fine-tuning; null "
        "searches for each budget from the dense network.",
    )
    scheduler: Scheduler = Field(
        Scheduler(), description="`fifo`: every trial runs to its end; or a mapping with a `gate`."
    )
    promote: Promote | None = Field(
        None, description="Fine-tune the best trials for longer when all are done; null is off."
    )
    trials: int | None = Field(
        None,
        ge=1,
        json_schema_extra=unit("trials"),
        description="Suggestions in each cell of budgets x grid x seeds, the first with the file's own values; null "
        "is 1, or the whole grid of sampler `grid`.",
    )
    resources: Resources = Field(Resources(), description="What Ray reserves for one trial.")
    failure: Failure = Field(Failure(), description="When a trial is started again.")
    storage: PathText = Field("results", description="Folder of all results, or a URI such as `s3://bucket/path`.")
    loggers: Loggers = Field(
        ({"tensorboard": {}},), description="Trackers, by name or `{name: {option: value}}`; `[]` for none."
    )

    @field_validator("objectives")
    @classmethod
    def _objectives_differ(cls, value: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if not value or len({objective.metric for objective in value}) != len(value):
            raise ValueError("`objectives` needs at least one metric, each once")
        return value

    @model_validator(mode="after")
    def _bounded(self) -> SweepSpec:
        counts = {"budgets": len(self.budgets), "seeds": len(self.seeds)} | {k: len(v) for k, v in self.grid.items()}
        cells, each = math.prod(counts.values()), self.trials or 1
        if self.sampler.name == "grid":  # all of its points are listed, however few are tried
            each = math.prod(len(parameter.values or (0,)) for parameter in self.parameters.values())
        if cells > MOST_CELLS or cells * each > MOST_TRIALS:
            told = " x ".join(f"{count:,} {key}" for key, count in counts.items())
            raise ValueError(
                f"{told} x {each:,} trials are {cells * each:,}: at most {MOST_TRIALS:,} trials in {MOST_CELLS:,} "
                "cells; make several sweeps"
            )
        return self

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

    @model_validator(mode="after")
    def _chain_descends(self) -> SweepSpec:
        if self.chain is None:
            return self
        if (fault := descent_fault(self.budgets)) is not None:
            raise ValueError(f"a chain {fault}")
        if self.chain.tell == "hypervolume":
            other = self.objectives != SweepSpec.model_fields["objectives"].default
            judged = {"constraints": self.constraints, "objectives": other, "warm_start": self.warm_start}
            if used := next((key for key, given in judged.items() if given), None):
                raise ValueError(f"{used} judges single trials, a chain its front: set chain.tell: trials")
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

    def leads(self, cell: Json) -> bool:
        """Whether a trial of `cell` starts from the dense network: all but those of a chain's later budgets."""
        return self.chain is None or self._place(cell) == 0

    def below(self, cell: Json) -> Json | None:
        """The cell of the next budget in the chain of `cell`; None at its end, and where there is no chain."""
        at = self._place(cell) + 1
        return {**cell, "budget": self.budgets[at]} if self.chain is not None and at < len(self.budgets) else None

    def trial(self, cell: Json, params: Json) -> TrialSpec:
        """The spec of one trial: the sweep's sections with `cell` and Optuna's `params` (dotted keys) put in."""
        tree = self.model_dump(mode="json", include={"model", "data", "dense", "search", "finetune"})
        if self.chain is not None and (link := Link.at(self.budgets, self._place(cell), self.chain.epochs)):
            tree["chain"] = link.model_dump()
        if self.latency is not None and Budget.model_validate(cell["budget"]).resource == "latency_ns":
            tree["latency"] = self.latency.model_dump(mode="json")
        for key, value in {**cell, **params}.items():
            put(tree, key, value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value)
        return TrialSpec.model_validate(tree)

    def _place(self, cell: Json) -> int:
        """The number of the budget of a cell, also as trial.json has it."""
        return self.budgets.index(Budget.model_validate(cell["budget"]))
