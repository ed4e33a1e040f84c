"""What a record is worth to a sweep: its objectives, and by how much it breaks a constraint."""

from __future__ import annotations

from ofb_ray.config import SweepSpec
from ofb_ray.results.records import Record


def metric(record: Record, name: str) -> float | None:
    """One of the record's objectives: a percentage, MACs, parameters or seconds; None was not measured."""
    if name == "wall_seconds":
        return sum(record.seconds.values())
    return None if record.subnet is None else getattr(record.subnet, name)


def objective_values(spec: SweepSpec, record: Record) -> list[float] | None:
    """The values to tell, in the order of the objectives; None where the trial is not finished or lacks one."""
    values = [metric(record, objective.metric) for objective in spec.objectives]
    if record.status != "finished" or any(value is None for value in values):
        return None
    return [float(value) for value in values if value is not None]


def violations(spec: SweepSpec, record: Record) -> dict[str, float]:
    """By how much a record breaks the budget's promise and the sweep's constraints; at most 0 is kept."""
    found = {}
    for index, constraint in enumerate(spec.constraints):
        value = metric(record, constraint.metric)
        bound = constraint.max if constraint.max is not None else constraint.min
        assert bound is not None
        excess = abs(bound) if value is None else (value - bound if constraint.max is not None else bound - value)
        found[f"{index} {constraint.metric}"] = excess / (abs(bound) or 1.0)
    used = record.budget.used
    return {**found, "budget": 1.0 if used is None else used - 1.0}
