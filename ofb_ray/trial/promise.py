"""The promise of a budget of latency: a subnet is timed before its last cut, and made smaller if it is too slow."""

from __future__ import annotations

import math

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ofb_ray.config import LatencySpec
from ofb_ray.latency.measure import prepared
from ofb_ray.latency.turns import QUIET, Exported, run_turns
from ofb_ray.method.axis import Widths
from ofb_ray.method.chain import Candidates
from ofb_ray.method.cost import cost, units_of
from ofb_ray.method.projection import Goal, make_goal
from ofb_ray.results.atomic import write_json
from ofb_ray.results.files import PROMISE_FILE, read_model
from ofb_ray.results.records import LatencyOutcome
from ofb_ray.trial.current import Current
from ofb_ray.trial.latency import LOCK, image_of, timed_network

Seconds = NDArray[np.float64]
# Of a subnet against its dense network, once; and how often at most.
_PROMISE_SECONDS, _TRIES = 20.0, 3
# What a subnet may take of its limit, and how often the projection is repeated for it.
TOLERANCE, _CORRECTIONS = 1.03, 3
# A table with a larger median error, or a dense network that is slower by more, was timed beside other work.
_BUSY = 0.1


class Promise:
    """Times the subnet that a search has chosen against its dense network, before it is cut.

    Args:
        current: the trial.
    """

    def __init__(self, current: Current) -> None:
        self._current, self._corrections = current, 0

    def corrected(self, goal: Goal, candidates: Candidates, widths: Widths) -> Goal | None:
        """Return a goal that is lower by as much as a network was too slow; None where it is fast enough.

        The last resort is the smallest network, and the fourth network is taken as it is: the record says what it
        takes.
        """
        team, corrections = self._current.team, self._corrections
        outcome = team.from_main(lambda: _measured(self._current, widths, corrections))
        spent = cost(goal.terms, units_of(widths))
        least = cost(goal.terms, units_of({name: sizes[0] for name, sizes in candidates.items()}))
        fast = outcome.used is None or outcome.used <= TOLERANCE
        if fast or corrections == _CORRECTIONS or spent == least:
            self._write(outcome)
            return None
        self._corrections += 1
        return make_goal(goal.terms, candidates, max(least, int(goal.target / (outcome.used or 1.0))))

    def _write(self, outcome: LatencyOutcome) -> None:
        if self._current.team.is_main:
            write_json(self._current.workdir / PROMISE_FILE, outcome.model_dump())


def read_outcome(current: Current, widths: Widths) -> LatencyOutcome | None:
    """Return how a trial's budget of latency was kept: as its search measured it, else measured now."""
    if current.planned.dense_ns is None:
        return None
    found = read_model(LatencyOutcome, current.workdir / PROMISE_FILE)
    return _measured(current, widths, 0) if found is None else found


def note_of(outcome: LatencyOutcome | None) -> str:
    """Say where a subnet's latency is not what its table says; empty where it is."""
    if outcome is None or outcome.used is None:
        return ""
    off, slower = outcome.table_error or 0.0, (outcome.measured_dense_ms or 0.0) / outcome.dense_ms
    if off > _BUSY and outcome.used <= TOLERANCE:
        return f"its table is off by {100 * off:.0f} % (median): measure it on a quiet machine, or with fewer threads"
    if slower > 1 + _BUSY and outcome.used <= TOLERANCE:
        return f"timed on a busy machine: the dense network took {slower:.2f} of its time; `ofb-ray latency` times anew"
    if outcome.used > TOLERANCE:
        low, high = (
            (outcome.used * value / (outcome.ratio or 1.0))
            for value in (outcome.ratio_low or 0.0, outcome.ratio_high or 0.0)
        )
        return f"measured, the subnet takes {outcome.used:.2f} of the limit ({low:.2f} to {high:.2f})"
    if outcome.corrections:
        return f"made smaller than its table asks for, as it was slower than that says ({outcome.corrections} times)"
    return ""


def _measured(current: Current, widths: Widths, corrections: int) -> LatencyOutcome:
    """Tell how a subnet of these widths keeps its limit, by timing it here; a table from elsewhere is believed."""
    spec, planned = current.spec, current.planned
    how, told = spec.latency, planned.latency_ns(widths)
    assert how is not None
    assert told is not None
    outcome = LatencyOutcome(
        target_ms=planned.target / 1e6,
        predicted_ms=told / 1e6,
        dense_ms=planned.dense_cost / 1e6,
        corrections=corrections,
        table_error=current.latency_error,
    )
    if how.table is not None:
        return outcome
    current.show("search", {"epoch": current.spec.epochs("search")}, "measuring the subnet's latency")
    dense, subnet = _times(current, how, widths)
    low, ratio, high = np.quantile(subnet / dense, [0.1, 0.5, 0.9])
    return outcome.model_copy(
        update={
            "measured_dense_ms": 1e3 * float(np.median(dense)),
            "ratio": float(ratio),
            "ratio_low": float(low),
            "ratio_high": float(high),
            "rounds": len(dense),
        }
    )


def _times(current: Current, how: LatencySpec, widths: Widths) -> tuple[Seconds, Seconds]:
    """Time a subnet against the dense network, in turns; again where other work slows the dense one, at most twice.

    Returns:
        seconds a round of the dense network and of the subnet, from the run that was disturbed least.
    """
    planned, best = current.planned, (math.inf, np.empty(0), np.empty(0))
    net, image, exported = timed_network(planned.model), image_of(planned.model), Exported()
    with FileLock(current.shared / LOCK), prepared(how) as device:
        for _ in range(_TRIES):
            dense, subnet = run_turns(net, planned.backbone, [widths], how, image, device, _PROMISE_SECONDS, exported)
            off = abs(1e9 * float(np.median(dense)) / planned.dense_cost - 1.0)
            best = min(best, (off, dense, subnet), key=lambda one: one[0])
            if off <= QUIET:
                break
    return best[1], best[2]
