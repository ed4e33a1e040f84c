"""Replay the recorded curves of a sweep that ran without a gate: what would a gate have stopped?"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.trials.compare import spec_value
from analysis.trials.trial import Results, Trial
from ofb_ray.results.history import epochs_of
from ofb_ray.results.ranking import Point, hypervolume, rank_among
from ofb_ray.results.records import Record


@dataclass(frozen=True)
class Curve:
    """One trial with a record, as a gate sees it.

    Args:
        group: the trials it is compared with: its results folder and the label of its cell, without the seed.
        top1: held-out top-1 after each fine-tune epoch; final: at the end, None unless it finished within its budget.
        used: cost over target; macs: of the subnet; dense: of the dense network.
        before: seconds of search; each: seconds of a fine-tune epoch. The dense network is shared and not counted.
        epochs: of fine-tuning as the trial was to have them.
    """

    number: int
    group: tuple[str, str]
    status: str
    top1: tuple[float, ...]
    final: float | None
    used: float
    macs: int
    dense: int
    before: float
    each: float
    epochs: int

    @property
    def seconds(self) -> float:
        """What the trial took."""
        return self.before + self.each * len(self.top1)


@dataclass(frozen=True)
class Rule:
    """A gate: see `scheduler` in the README."""

    epochs: int
    keep: float
    min_trials: int = 4


@dataclass(frozen=True)
class Replayed:
    """What a gate would have done.

    Args:
        stopped: number of trials.
        saved, seconds: of all trials, saved by the gate and taken without it.
        volume, volume_without: hypervolumes with the gate and without.
        lost: for each group the points of top-1 by which its best finished trial falls.
    """

    stopped: int
    saved: float
    seconds: float
    volume: float
    volume_without: float
    lost: tuple[float, ...]


def curves(results: Results) -> list[Curve]:
    """List the trials that have a record and were not promoted, in the order of their numbers."""
    return [_curve(trial, trial.record) for trial in results.trials if trial.record is not None and not trial.promoted]


def _curve(trial: Trial, record: Record) -> Curve:
    top1 = [epoch.top1_val for epoch in epochs_of(record, "finetune") if epoch.top1_val is not None]
    seconds = record.seconds.get("finetune", 0.0)
    subnet = record.subnet
    return Curve(
        number=trial.number,
        group=(str(trial.folder.parent), trial.label),
        status=trial.status,
        top1=tuple(map(float, top1)),
        final=subnet.top1_val if subnet and trial.met_budget else None,
        used=record.budget.used or 1.0,
        macs=subnet.macs if subnet else 0,
        dense=record.dense.macs if record.dense else 0,
        before=record.seconds.get("search", 0.0),
        each=seconds / len(top1) if top1 else 0.0,
        epochs=int(spec_value(record, "finetune.epochs") or len(top1)),
    )


def stopped(trials: Sequence[Curve], rule: Rule, slots: int) -> set[int]:
    """Return the positions in `trials` of those that `rule` stops, when they start in this order, `slots` at a time.

    Each goes through its recorded seconds; what comes to the gate at one moment decides in the order of starting.
    """
    waiting = list(range(len(trials)))[::-1]
    passed: dict[tuple[str, str], list[Point]] = {}
    ended: set[int] = set()
    events: list[tuple[float, int, bool]] = []  # when, which trial, whether it is at the gate

    def start(now: float) -> None:
        if waiting:
            index = waiting.pop()
            trial = trials[index]
            gated = len(trial.top1) > rule.epochs
            heapq.heappush(events, (now + trial.before + trial.each * _epochs(trial, rule), index, gated))

    for _ in range(slots):
        start(0.0)
    while events:
        now, index, at_gate = heapq.heappop(events)
        trial = trials[index]
        if at_gate:
            others = passed.setdefault(trial.group, [])
            own = (trial.top1[rule.epochs - 1], trial.used)
            ranking = rank_among(own, others)
            others.append(own)
            if ranking.of < rule.min_trials or not ranking.outside(rule.keep):
                heapq.heappush(events, (now + trial.each * (len(trial.top1) - rule.epochs), index, False))
                continue
            ended.add(index)
        start(now)
    return ended


def _epochs(trial: Curve, rule: Rule) -> int:
    """Count fine-tune epochs to the gate, or to the end of a trial that ends before or at it."""
    return min(rule.epochs, len(trial.top1))


def replayed(trials: Sequence[Curve], rule: Rule, slots: int) -> Replayed:
    """Replay one sweep in this order of its trials, with the gate and without."""
    ended = stopped(trials, rule, slots)
    finals = [trial for trial in trials if trial.final is not None]
    kept = [trial for index, trial in enumerate(trials) if trial.final is not None and index not in ended]
    lost = []
    for group in dict.fromkeys(trial.group for trial in finals):
        best = [max((t.final or 0.0 for t in some if t.group == group), default=0.0) for some in (finals, kept)]
        lost.append(best[0] - best[1])
    floor = min((trial.final or 0.0 for trial in finals), default=0.0)
    ceiling = max((max(trial.macs, trial.dense) for trial in finals), default=0)
    volumes = [
        hypervolume([(t.final or 0.0, t.macs) for t in some], (floor, ceiling), (1, -1)) for some in (kept, finals)
    ]
    saved = sum(trials[index].each * (len(trials[index].top1) - rule.epochs) for index in ended)
    return Replayed(len(ended), saved, sum(trial.seconds for trial in trials), volumes[0], volumes[1], tuple(lost))


def spread(sweeps: Sequence[Sequence[Curve]], rule: Rule, slots: int, orders: int) -> dict[str, Any]:
    """Compute figures of `rule` over the sweeps together: in the order of the numbers, and over random orders (seeded).

    Percentages: `saved` of all trial-seconds; `volume` of the hypervolume without a gate, in the mean over sweeps, from
    the lowest final top-1 at the dense network's MACs; `best_lost` of the budgets. `points_lost`: top-1 by which a
    budget's best falls, in the mean. `low`, `high`: 5 and 95 % of the orders.
    """
    rng = random.Random(0)
    own = _figures([replayed(sweep, rule, slots) for sweep in sweeps])
    drawn = [
        _figures([replayed(rng.sample(list(sweep), len(sweep)), rule, slots) for sweep in sweeps])
        for _ in range(orders)
    ]
    row: dict[str, Any] = {"epochs": rule.epochs, "keep": rule.keep, "min_trials": rule.min_trials}
    row |= {f"{name}_in_order": round(value, 3) for name, value in own.items()}
    for name in own if drawn else ():
        values = [figures[name] for figures in drawn]
        low, high = np.percentile(values, [5, 95])
        row |= {name: round(float(np.mean(values)), 3), f"{name}_low": round(float(low), 3)}
        row[f"{name}_high"] = round(float(high), 3)
    return row


def _figures(parts: Sequence[Replayed]) -> dict[str, float]:
    lost = [points for part in parts for points in part.lost]
    seconds = sum(part.seconds for part in parts)
    shares = [part.volume / part.volume_without for part in parts if part.volume_without > 0]
    return {
        "stopped": float(sum(part.stopped for part in parts)),
        "saved": 100 * sum(part.saved for part in parts) / seconds if seconds else 0.0,
        "volume": 100 * float(np.mean(shares)) if shares else 100.0,
        "best_lost": 100 * float(np.mean([points > 0 for points in lost])) if lost else 0.0,
        "points_lost": float(np.mean(lost)) if lost else 0.0,
    }
