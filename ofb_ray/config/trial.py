"""A trial: the sections together with one budget and one seed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ofb_ray.config.base import Strict, digest, unit
from ofb_ray.config.data import DataSpec
from ofb_ray.config.latency import LatencySpec
from ofb_ray.config.model import ModelSpec
from ofb_ray.config.search import SearchSpec
from ofb_ray.config.train import DenseSpec, FinetuneSpec

Phase = Literal["dense", "search", "finetune"]
# Of a trial, in order; the sections of a spec with these names have `epochs`.
PHASES: tuple[Phase, ...] = ("dense", "search", "finetune")
# What changes how fast a trial runs and none of its numbers is no part of its identity.
_SPEED: Any = {"data": {"workers"}}
Resource = Literal["macs", "params", "latency_ns"]
# Budgets of one kind compare at any size of the dense network.
_DENSE = 10**12


class Budget(Strict):
    """The compute target: exactly one of its fields. A bare number in YAML is a MAC ratio."""

    macs_ratio: float | None = Field(
        None,
        gt=0,
        le=1,
        json_schema_extra=unit("share"),
        description="MACs of the subnet over those of the dense network, at most.",
    )
    gmacs: float | None = Field(
        None,
        gt=0,
        json_schema_extra=unit("10^9 MACs"),
        description="Multiply-accumulate operations of the subnet for one image, at most.",
    )
    params: float | None = Field(
        None, ge=1, json_schema_extra=unit("parameters"), description="Parameters of the subnet, at most."
    )
    sparsity: float | None = Field(
        None,
        ge=0,
        lt=1,
        json_schema_extra=unit("share"),
        description="Part of the dense network's MACs that is removed, at least.",
    )
    latency: float | None = Field(
        None,
        gt=0,
        le=1,
        json_schema_extra=unit("share"),
        description="Latency of the subnet over that of the dense network, at most; `latency` says how it is measured.",
    )
    latency_ms: float | None = Field(
        None, gt=0, le=1e6, json_schema_extra=unit("ms"), description="Milliseconds of a pass of the subnet, at most."
    )
    absent: ClassVar[frozenset[str]] = frozenset({"latency", "latency_ms"})

    @model_validator(mode="before")
    @classmethod
    def _number_is_a_ratio(cls, value: Any) -> Any:
        return {"macs_ratio": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Budget:
        if sum(value is not None for value in self.model_dump().values()) != 1:
            keys = ", ".join(Budget.model_fields)
            raise ValueError(f"a budget is a number (MAC ratio) or exactly one of {keys}")
        return self

    @property
    def resource(self) -> Resource:
        """What the budget limits."""
        if self.latency is not None or self.latency_ms is not None:
            return "latency_ns"
        return "params" if self.params is not None else "macs"

    def target(self, dense_macs: int, dense_params: int, dense_ns: int = 0) -> int:
        """The limit in MACs, parameters or nanoseconds, rounded down."""
        if self.latency is not None:
            return int(self.latency * dense_ns)
        if self.latency_ms is not None:
            return int(self.latency_ms * 1e6)
        if self.params is not None:
            return int(self.params)
        if self.gmacs is not None:
            return int(self.gmacs * 1e9)
        ratio = self.macs_ratio if self.macs_ratio is not None else 1 - (self.sparsity or 0.0)
        return int(ratio * dense_macs)

    @property
    def label(self) -> str:
        """Short text for tables: `0.5`, `1.7 GMACs`, `5M params`, `sparsity 0.5`, `latency 0.5`, `4 ms`."""
        if self.latency is not None:
            return f"latency {self.latency:g}"
        if self.latency_ms is not None:
            return f"{self.latency_ms:g} ms"
        if self.macs_ratio is not None:
            return f"{self.macs_ratio:g}"
        if self.gmacs is not None:
            return f"{self.gmacs:g} GMACs"
        return f"{self.params / 1e6:g}M params" if self.params is not None else f"sparsity {self.sparsity:g}"


def descent_fault(budgets: Sequence[Budget]) -> str | None:
    """Say why a search cannot go down through `budgets` in their order; None where it can."""
    if len(budgets) < 2:
        return "needs at least two budgets: give them, or set chain: null"
    for before, after in itertools.pairwise(budgets):
        kinds = [set(budget.model_dump(exclude_none=True)) for budget in (before, after)]
        if kinds[0] != kinds[1]:
            return f"needs budgets of one kind: {before.label} and {after.label} do not compare"
        if after.target(_DENSE, _DENSE, _DENSE) >= before.target(_DENSE, _DENSE, _DENSE):
            return f"goes down: budget {after.label} is not below {before.label} before it"
    return None


class Link(Strict):
    """A trial's place in a chain of budgets: its search goes on from the decided network of the budget above."""

    above: tuple[Budget, ...] = Field(
        min_length=1, description="Budgets that the search has gone through before, the largest first."
    )
    epochs: int = Field(
        ge=0, json_schema_extra=unit("epochs"), description="Search epochs from one budget to the next one below."
    )

    @classmethod
    def at(cls, budgets: Sequence[Budget], place: int, epochs: int) -> Link | None:
        """The place of budget number `place` in a chain of `budgets`; None of the first, which starts from nothing."""
        return cls(above=tuple(budgets[:place]), epochs=epochs) if place else None


class TrialSpec(Strict):
    """All that decides a trial's numbers. Two trials with equal specs give equal records on one kind of machine."""

    absent: ClassVar[frozenset[str]] = frozenset({"chain", "latency"})
    model: ModelSpec = Field(ModelSpec(), description="The network.")
    data: DataSpec = Field(DataSpec(), description="The data set and its preprocessing.")
    dense: DenseSpec = Field(DenseSpec(), description="Training of the dense network.")
    search: SearchSpec = Field(SearchSpec(), description="The OFB search.")
    finetune: FinetuneSpec = Field(FinetuneSpec(), description="Training of the fused subnet.")
    budget: Budget = Field(description="The compute target.")
    seed: int = Field(0, ge=0, json_schema_extra=unit("seed"), description="Seed of everything random in the trial.")
    chain: Link | None = Field(
        None, description="The budgets above in a chain; null where the search starts from the dense network."
    )
    latency: LatencySpec | None = Field(
        None, description="How the latency is measured that the budget limits; null where it limits another cost."
    )

    @model_validator(mode="before")
    @classmethod
    def _latency_is_said_where_it_is_limited(cls, tree: Any) -> Any:
        if not isinstance(tree, dict) or tree.get("latency") is not None:
            return tree
        budget = tree.get("budget")
        keys = budget.model_dump(exclude_none=True) if isinstance(budget, Budget) else budget
        limited = isinstance(keys, dict) and bool({"latency", "latency_ms"} & set(keys))
        return {**tree, "latency": LatencySpec()} if limited else tree

    @model_validator(mode="after")
    def _latency_is_for_budgets_of_it(self) -> TrialSpec:
        if self.latency is not None and self.budget.resource != "latency_ns":
            raise ValueError("`latency` belongs to a budget of latency: {latency: 0.5} or {latency_ms: 4}")
        return self

    @property
    def searching(self) -> SearchSpec:
        """The search as this trial runs it: in a chain it has that many epochs from the budget above."""
        return self.search if self.chain is None else self.search.model_copy(update={"epochs": self.chain.epochs})

    @property
    def above(self) -> TrialSpec | None:
        """The trial from whose decided network this one's search starts; None where that is the dense network."""
        if self.chain is None:
            return None
        *rest, budget = self.chain.above
        chain = self.chain.model_copy(update={"above": tuple(rest)}) if rest else None
        return self.model_copy(update={"budget": budget, "chain": chain})

    def epochs(self, phase: Phase) -> int:
        """Epochs of one of the trial's phases."""
        return int(self.searching.epochs if phase == "search" else getattr(self, phase).epochs)

    @property
    def key(self) -> str:
        """Hash of the resolved spec: the trial's identity."""
        return digest(self.model_dump(mode="json", exclude=_SPEED))

    @property
    def search_key(self) -> str:
        """Hash of what decides the search: trials that share it differ in fine-tuning alone."""
        return digest(self.model_dump(mode="json", exclude={**_SPEED, "finetune": True}))

    @property
    def dense_key(self) -> str:
        """Hash of what decides the dense network: trials that share it train it once."""
        return digest(self.model_dump(mode="json", include={"model", "data", "dense", "seed"}, exclude=_SPEED))
