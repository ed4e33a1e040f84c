"""What a sampler explores and optimises: parameters, objectives, constraints, and the sampler itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ofb_ray.config.base import Json, Strict, unit


class Parameter(Strict):
    """One explored value: a range or a list, as in W&B sweeps; `when` makes it conditional on other parameters."""

    min: float | int | None = Field(
        None, json_schema_extra=unit("that of the key", "below `max`"), description="Lower end of the range, included."
    )
    max: float | int | None = Field(
        None, json_schema_extra=unit("that of the key", "above `min`"), description="Upper end of the range, included."
    )
    log: bool = Field(False, description="Explore the range on a logarithmic scale; needs `min` > 0.")
    integer: bool = Field(False, description="Take whole numbers only.")
    values: tuple[Any, ...] | None = Field(
        None, description="Choices instead of a range; a list for each choice where the key names several fields."
    )
    when: Json | None = Field(
        None,
        description="Explore the key only where other explored keys have these values: `{key: value}` or `{key: "
        "[value, ...]}`.",
    )

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

    metric: Literal["top1_val", "top5_val", "macs", "params", "wall_seconds"] = Field(
        description="Metric of the record that is optimised."
    )
    goal: Literal["maximize", "minimize"] = Field(description="Direction.")


class Constraint(Strict):
    """A feasible trial has `metric` at most / at least the bound; Optuna is told by how much it is violated."""

    metric: Literal["top1_val", "top5_val", "macs", "params", "wall_seconds"] = Field(
        description="Metric of the record that is bounded."
    )
    max: float | None = Field(
        None,
        json_schema_extra=unit("that of the metric", "any"),
        description="Largest feasible value; exactly one of `max` and `min`.",
    )
    min: float | None = Field(
        None,
        json_schema_extra=unit("that of the metric", "any"),
        description="Smallest feasible value; exactly one of `max` and `min`.",
    )

    @model_validator(mode="after")
    def _bounded(self) -> Constraint:
        if (self.max is None) == (self.min is None):
            raise ValueError("a constraint has exactly one of `max` and `min`")
        return self


class Sampler(BaseModel):
    """Who suggests: a name, or a mapping of `name` and the sampler's own options, which `tuning.samplers` checks."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: Literal["auto", "gp", "tpe", "nsga2", "nsga3", "random", "grid", "qmc"] = Field(
        "auto",
        description="`auto` (Gaussian process; TPE where there are conditions), `gp`, `tpe`, `nsga2`, `nsga3`, "
        "`random`, `qmc`, or `grid`: every combination of `values`. Other keys are options of Optuna's "
        "sampler.",
    )

    @model_validator(mode="before")
    @classmethod
    def _word_is_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> Json:
        """All but the name."""
        return dict(self.model_extra or {})
