"""Which of a sweep's trials the study knows, and how they ended for it: each by itself, or a whole chain as one.

Where a chain is told its hypervolume, the study has one trial for each chain, that of the first budget, and one
objective. It ends with the chain's last trial; a failed trial leaves what the budgets above it have reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from optuna.trial import TrialState

from ofb_ray.config import Json, SweepSpec
from ofb_ray.results.files import TrialFile
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.ranking import hypervolume
from ofb_ray.results.records import Outcome
from ofb_ray.tuning.lifecycle.chains import Chains
from ofb_ray.tuning.optuna.metrics import objective_values, violations


class End(NamedTuple):
    """How a trial ended for the study: its state and, where that is complete, its objectives and violations."""

    state: TrialState
    values: list[float] | None = None
    violations: dict[str, float] | None = None


RUNNING = End(TrialState.RUNNING)


def tells_chains(spec: SweepSpec) -> bool:
    """Whether the study has a trial for each chain instead of one for each trial."""
    return spec.chain is not None and spec.chain.tell == "hypervolume"


def directions(spec: SweepSpec) -> list[Literal["minimize", "maximize"]]:
    """Return the directions of the study's objectives."""
    return ["maximize"] if tells_chains(spec) else [objective.goal for objective in spec.objectives]


def is_told(spec: SweepSpec, trial: TrialFile) -> bool:
    """Whether the study has a trial of its own for this one."""
    return trial.follows is None or not tells_chains(spec)


def has_cell(spec: SweepSpec, cell: Json) -> bool:
    """Whether the study has trials of this cell."""
    return spec.leads(cell) or not tells_chains(spec)


def end_in_study(index: TrialIndex, chains: Chains, number: int) -> End:
    """Say how a trial that the study knows ended for it."""
    spec = index.spec
    if tells_chains(spec):
        return end_of_chain(spec, chains.outcomes(number))
    return end_of(spec, index.outcome(number))


def end_of_chain(spec: SweepSpec, outcomes: Sequence[Outcome] | None) -> End:
    """Say how a chain ended: with its hypervolume, or failed where none of its networks met its budget."""
    if outcomes is None:
        return RUNNING
    assert spec.chain is not None
    points = [point for outcome in outcomes if (point := _point(outcome)) is not None]
    if not points:
        return End(TrialState.FAIL)
    return End(TrialState.COMPLETE, [hypervolume(points, (spec.chain.reference_top1 / 100, 1.0))])


def end_of(spec: SweepSpec, outcome: Outcome | None) -> End:
    """Say how a single trial ended."""
    if outcome is None:
        return RUNNING
    if (values := objective_values(spec, outcome)) is not None:
        return End(TrialState.COMPLETE, values, violations(spec, outcome))
    return End(TrialState.PRUNED if outcome.status == "stopped" else TrialState.FAIL)


def _point(outcome: Outcome) -> tuple[float, float] | None:
    """Return held-out top-1 and cost of a network that met its budget, as shares."""
    if outcome.merit is None or outcome.dense is None:
        return None
    top1, cost = outcome.merit
    return -top1 / 100, cost / int(getattr(outcome.dense, outcome.budget.resource))
