"""A replay stops what a gate would have stopped, and counts what that saves and loses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.gates.replay import Curve, Rule, curves, replayed, stopped
from analysis.trials.read import read
from tests.analysis import factory
from tests.analysis.factory import shifted


def curve(number: int, top1: tuple[float, ...], **changes: Any) -> Curve:
    fields: dict[str, Any] = {"group": ("r", "0.5"), "status": "finished", "final": top1[-1], "used": 1.0}
    fields |= {"macs": 500, "dense": 1000, "before": 10.0, "each": 2.0, "epochs": len(top1)}
    return Curve(number=number, top1=top1, **{**fields, **changes})


def test_the_replay_stops_as_the_gate_does_in_order_of_arrival() -> None:
    """Best first, one at a time: from the fourth on all are outside the best half; worst first: none ever is."""
    best_first = [curve(number, shifted(-number)) for number in range(6)]
    rule = Rule(epochs=2, keep=0.5, min_trials=4)
    assert stopped(best_first, rule, slots=1) == {3, 4, 5}
    assert stopped(best_first[::-1], rule, slots=1) == set()
    assert stopped(best_first, rule, slots=6) == {3, 4, 5}
    others = [curve(number, shifted(-number), group=("r", str(number % 2))) for number in range(6)]
    assert stopped(others, rule, slots=1) == set()  # three of each budget
    late = [curve(0, shifted(0), before=100.0), *best_first[1:]]
    assert stopped(late, rule, slots=2) == {4, 5}  # the slow one comes to the gate last, and is the best


def test_what_a_replay_saves_and_loses() -> None:
    """Trial 3 is last after two epochs and best at the end: stopping it loses five points."""
    trials = [curve(number, shifted(-number)) for number in range(3)]
    trials.append(curve(3, (0.0, 0.0, 0.0, 45.0), macs=400))
    found = replayed(trials, Rule(2, 0.5, 4), slots=1)
    assert found.stopped == 1
    assert found.saved == 2 * 2.0
    assert found.seconds == 4 * 18.0
    assert found.lost == (5.0,)
    assert found.volume == pytest.approx((40 - 38) * 500)
    assert found.volume_without == pytest.approx((45 - 38) * 600)


def test_curves_are_read_from_records(agreeing: Path) -> None:
    factory.write(agreeing, [factory.failed(6, history=[], seconds={"search": 3.0})])
    found = curves(read([agreeing]))
    assert found[1].top1 == shifted(-1)
    assert (found[1].before, found[1].each, found[1].final) == (10.0, 2.0, 39.0)
    assert (found[6].top1, found[6].final, found[6].seconds) == ((), None, 3.0)
