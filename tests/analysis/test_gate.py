"""Made-up curves: does the gate tell the end, what would it have stopped, and what would that have cost?"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from analysis import gate
from analysis.gates.agreement import agreement
from analysis.gates.replay import Curve, Rule, curves, replayed, stopped
from analysis.trials.dominance import non_dominated
from analysis.trials.read import read
from ofb_ray.config.yaml12 import dump
from ofb_ray.results.ranking import MET, rank_among
from ofb_ray.results.records import Record
from tests.analysis import factory

RISING = (10.0, 20.0, 30.0, 40.0)


def trial(number: int, values: tuple[float, ...], ratio: float = 0.5, **changes: Any) -> Record:
    """A finished trial with this curve; its last value is the final one. 10 s of search, 2 s a fine-tune epoch."""
    history = [
        {"phase": "search", "epoch": 1, "top1_val": 5.0},
        *({"phase": "finetune", "epoch": epoch, "top1_val": value} for epoch, value in enumerate(values, 1)),
    ]
    seconds = {"dense": 1000.0, "search": 10.0, "finetune": 2.0 * len(values)}
    spec = {"finetune": {"epochs": 4}, "data": {}}
    fields = {"history": history, "seconds": seconds, "spec": spec, **changes}
    return factory.record(number, ratio, values[-1], **fields)


def shifted(by: float) -> tuple[float, ...]:
    return tuple(value + by for value in RISING)


@pytest.fixture
def agreeing(tmp_path: Path) -> Path:
    """Six trials of a budget whose order never changes, the worst last."""
    return factory.write(tmp_path / "r", [trial(number, shifted(-number)) for number in range(6)])


def curve(number: int, top1: tuple[float, ...], **changes: Any) -> Curve:
    fields: dict[str, Any] = {"group": ("r", "0.5"), "status": "finished", "final": top1[-1], "used": 1.0}
    fields |= {"macs": 500, "dense": 1000, "before": 10.0, "each": 2.0, "epochs": len(top1)}
    return Curve(number=number, top1=top1, **{**fields, **changes})


@pytest.mark.parametrize("seed", range(20))
def test_ranks_are_those_of_peeling_one_front_after_the_other(seed: int) -> None:
    rng = random.Random(seed)
    points = [(float(rng.randint(0, 6)), rng.randint(1, 6) / 10) for _ in range(25)]
    left, rank = list(range(len(points))), 0
    ranks: dict[int, int] = {}
    while left:
        rank += 1
        front = non_dominated([points[i][0] for i in left], [points[i][1] for i in left])
        ranks |= {index: rank for index, on_front in zip(left, front, strict=True) if on_front}
        left = [index for index in left if index not in ranks]
    for index, own in enumerate(points):
        found = rank_among(own, points[:index] + points[index + 1 :])
        assert found.rank == ranks[index]
        better = [(ranks[i], -points[i][0]) < (ranks[index], -own[0]) for i in range(len(points))]
        assert (found.position, found.of) == (1 + sum(better), len(points))


def test_a_hair_less_cost_is_no_merit() -> None:
    assert rank_among((50.0, MET), [(90.0, 1.0), (91.0, 0.995)]).position == 3


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


def test_agreement_is_ranked_within_budgets() -> None:
    """Two budgets far apart: over both together the correlation would be high, within each it is reversed."""
    pairs = [[(10.0, 3.0), (11.0, 2.0), (12.0, 1.0)], [(90.0, 93.0), (91.0, 92.0), (92.0, 91.0)]]
    found = agreement(pairs)
    assert found.rho == pytest.approx(-1)
    assert "do not trust it" in found.sentence
    ordered = agreement([[(each, each) for each in range(6)]])
    assert ordered.rho == pytest.approx(1)
    assert ordered.p < 0.01
    assert "may be trusted to be better than chance" in ordered.sentence
    assert agreement([[(1.0, 2.0), (1.0, 3.0)]]).rho is None  # equal at the gate
    three = agreement([[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]])
    assert three.rho == pytest.approx(1)
    assert "is not known: 3 finished trials" in three.sentence  # 1 of 6 orders agrees by chance


def test_the_command_prints_a_table_json_and_csv(
    agreeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--epochs", "2", "--keep", "0.5", "--slots", "1", "--orders", "5", "--out", str(tmp_path / "out")]
    assert gate.main([str(agreeing), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(lines[-1])
    assert figures["agreement"][0] == {"epochs": 2, "budget": "0.5", "n": 6, "rho": pytest.approx(1)}
    (row,) = figures["replay"]
    assert (row["stopped_in_order"], row["best_lost_in_order"], row["volume_in_order"]) == (3, 0, 100)
    assert row["saved_in_order"] == pytest.approx(100 * 3 * 4 / (6 * 18), abs=1e-3)
    assert row["saved_low"] <= row["saved"] <= row["saved_high"]
    assert (tmp_path / "out" / "gate.csv").read_text().startswith("epochs,")
    assert gate.main([str(agreeing), *options]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures  # seeded


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--epochs", "4"], "no finished trial has more than 4 fine-tune epochs"),
        (["--epochs", "0"], "--epochs: must be at least 1"),
        (["--keep", "1"], "--keep: must lie between 0 and 1"),
    ],
)
def test_bad_input_is_one_line(
    agreeing: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert gate.main([str(agreeing), *options]) == 2
    assert says in capsys.readouterr().err


def test_a_gated_sweep_is_reported_and_not_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = [trial(n, RISING[:2], status="stopped", subnet=None, reason="gate") for n in (6, 7)]
    folder = factory.write(tmp_path / "r", [*(trial(number, shifted(-number)) for number in range(6)), *ended])
    assert gate.summary(folder) == []
    sweep = {"name": "digits", "scheduler": {"gate": {"epochs": 2, "keep": 0.5, "min_trials": 4}}}
    (folder / "sweep.yaml").write_text(dump(sweep))
    saved, sentence = gate.summary(folder)
    # Two trials, two epochs of 2 s each; six took 18 s and two took 14 s.
    assert saved.startswith("The gate stopped 2 of 8 trials and saved about 8 trial-seconds")
    assert "(6 % of" in saved
    assert "rank correlation 1.00 over 6 trials" in sentence
    assert gate.main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[-1])["replay"] == []
    assert "Only trials that went on have an end" in out
