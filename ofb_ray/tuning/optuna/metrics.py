"""Compute what a trial is worth to a sweep: its objectives, and by how much it breaks a constraint."""

from __future__ import annotations

from ofb_ray.config import SweepSpec
from ofb_ray.results.records import Outcome


def metric(outcome: Outcome, name: str) -> float | None:
    """Return one objective: a percentage, MACs, parameters or wall seconds; None was not measured."""
    if name == "wall_seconds":
        return sum(outcome.seconds.values())
    return None if outcome.subnet is None else getattr(outcome.subnet, name)


def objective_values(spec: SweepSpec, outcome: Outcome) -> list[float] | None:
    """Return the objectives' values in their order; None where the trial is not finished or lacks one."""
    values = [metric(outcome, objective.metric) for objective in spec.objectives]
    if outcome.status != "finished" or any(value is None for value in values):
        return None
    return [float(value) for value in values if value is not None]


def violations(spec: SweepSpec, outcome: Outcome) -> dict[str, float]:
    """Return by how much a trial breaks the budget's promise and each constraint, over its bound; at most 0: kept."""
    found = {}
    for index, constraint in enumerate(spec.constraints):
        value = metric(outcome, constraint.metric)
        bound = constraint.max if constraint.max is not None else constraint.min
        assert bound is not None
        excess = abs(bound) if value is None else (value - bound if constraint.max is not None else bound - value)
        found[f"{index} {constraint.metric}"] = excess / (abs(bound) or 1.0)
    used = outcome.budget.used
    return {**found, "budget": 1.0 if used is None else used - 1.0}
