"""Compute the hypervolume, one figure for how good a set of trials is, over trials and over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from analysis.fronts.budgets import budgets, dense_networks
from analysis.fronts.objectives import Objective
from analysis.trials.trial import Results, Trial
from ofb_ray.results.ranking import hypervolume


@dataclass(frozen=True)
class Reference:
    """The worst corner, and the area up to it that counts as 1."""

    y: float
    x: float
    text: str


@dataclass(frozen=True)
class Growth:
    """The hypervolume of one results folder after each of its finished trials, as a share of the reference's area.

    `hours` since the first trial began, None where the records do not tell; `volumes` never fall.
    """

    name: str
    volumes: tuple[float, ...]
    hours: tuple[float, ...] | None


def reference_of(results: Results, x: Objective, y: Objective) -> Reference | None:
    """Choose the reference point.

    Of an accuracy it is 0, of a cost the dense network's, or the highest of all trials where that has none.
    """
    corner, words = [], []
    for each in (y, x):
        if each.kind == "percent":
            corner.append(0.0)
            words.append(f"{each.plain} 0 %")
            continue
        dense = [value for size in dense_networks(results) if (value := size.mean(each.dense)) is not None]
        own = [value for trial in results.trials if trial.met_budget and (value := each.of(trial)) is not None]
        if not (dense or own):
            return None
        corner.append(max(dense or own))
        words.append(f"{each.plain} of the {'dense network' if dense else 'most expensive trial'}")
    return Reference(corner[0], corner[1], ", ".join(words))


def growth(results: Results, x: Objective, y: Objective) -> list[Growth]:
    """Follow the hypervolume of each results folder over its finished trials, in the order in which they ended.

    Only trials within their budgets count. Empty where test accuracy is an objective, as the best so far would be
    chosen by it, or where the data are mixed.
    """
    reference = reference_of(results, x, y)
    unfit = x.is_test or y.is_test or results.mixed
    if reference is None or unfit or not any(_point(trial, x, y) for trial in results.trials):
        return []
    best = tuple(100.0 if each.kind == "percent" else 0.0 for each in (y, x))
    whole = hypervolume([(best[0], best[1])], (reference.y, reference.x), (y.goal, x.goal))
    folders: dict[Path, list[Trial]] = {}
    for trial in results.by_status("finished"):
        folders.setdefault(trial.folder.parent, []).append(trial)
    curves = []
    for trials in folders.values():
        times = _ends(trials)
        ordered = sorted(trials, key=lambda trial: times[trial.folder]) if times else trials
        volumes = _volumes(ordered, x, y, reference, whole)
        hours = None
        if times:
            begin = min(times[trial.folder] - _seconds(trial) for trial in trials)
            hours = tuple((times[trial.folder] - begin) / 3600 for trial in ordered)
        curves.append(Growth(trials[0].sweep or results.name, volumes, hours))
    return curves


def total(results: Results, x: Objective, y: Objective) -> tuple[float, Reference] | None:
    """Compute the hypervolume of all finished trials within their budgets together, as a share, and its reference.

    Where test accuracy is an objective, of the selected trials alone: the best of all would be chosen by it. None where
    the data are mixed.
    """
    reference = reference_of(results, x, y)
    if reference is None or results.mixed:
        return None
    best = tuple(100.0 if each.kind == "percent" else 0.0 for each in (y, x))
    whole = hypervolume([(best[0], best[1])], (reference.y, reference.x), (y.goal, x.goal))
    selected = [budget.best for budget in budgets(results) if budget.best]
    trials = selected if x.is_test or y.is_test else results.trials
    points = [point for trial in trials if (point := _point(trial, x, y))]
    share = hypervolume(points, (reference.y, reference.x), (y.goal, x.goal)) / whole if whole else 0.0
    return share, reference


def _volumes(
    trials: Sequence[Trial], x: Objective, y: Objective, reference: Reference, whole: float
) -> tuple[float, ...]:
    # The trials that no other dominates are enough, and few; all of them at each step would take N^2.
    front: list[tuple[float, float]] = []
    volumes: list[float] = []
    for trial in trials:
        point, value = _point(trial, x, y), volumes[-1] if volumes else 0.0
        if whole and point and not any(_covers(other, point, x, y) for other in front):
            front = [other for other in front if not _covers(point, other, x, y)] + [point]
            # What is added in another order may round differently.
            value = max(value, hypervolume(front, (reference.y, reference.x), (y.goal, x.goal)) / whole)
        volumes.append(value)
    return tuple(volumes)


def _covers(one: tuple[float, float], other: tuple[float, float], x: Objective, y: Objective) -> bool:
    """Whether one point is as good as another in both objectives."""
    return y.goal * one[0] >= y.goal * other[0] and x.goal * one[1] >= x.goal * other[1]


def _point(trial: Trial, x: Objective, y: Objective) -> tuple[float, float] | None:
    first, second = y.of(trial), x.of(trial)
    return None if first is None or second is None or not trial.met_budget else (first, second)


def _seconds(trial: Trial) -> float:
    return sum(trial.record.seconds.values()) if trial.record else 0.0


def _ends(trials: Sequence[Trial]) -> dict[Path, float]:
    """Return when each trial ended by its record, in seconds since 1970; nothing unless all are known."""
    ends = {trial.folder: _seconds_of(trial.record.finished if trial.record else "") for trial in trials}
    known = {folder: when for folder, when in ends.items() if when is not None}
    return known if len(known) == len(ends) else {}


def _seconds_of(text: str) -> float | None:
    """Convert a time in ISO 8601, UTC where it names no zone, to seconds since 1970; None where it is none."""
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
