"""Gather what a figure of the front shows: points, means over seeds, outliers, what its axes must hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median

from analysis.fronts.budgets import Budget, Dense, budgets, dense_networks
from analysis.fronts.change import images_in, unsure
from analysis.fronts.objectives import Objective
from analysis.fronts.seeds import Setting, Spread, is_measured, most_seeds, settings, spread
from analysis.fronts.ticks import Tick, budget_ticks, unit_on
from analysis.trials.dominance import front_of, knee
from analysis.trials.preview import previews
from analysis.trials.trial import Results, Trial


@dataclass(frozen=True)
class Point:
    """One finished trial with both values; index of its budget.

    `on_front`: of the trials within their budgets; where test accuracy is on an axis, of the selected ones.
    """

    trial: Trial
    x: float
    y: float
    budget: int
    on_front: bool
    selected: bool


@dataclass(frozen=True)
class Mean:
    """One setting's means over its seeds; index of its budget.

    `on_front`: of those with the most seeds; where test accuracy is on an axis, of the selected ones of each budget.
    """

    setting: Setting
    x: Spread
    y: Spread
    budget: int
    on_front: bool
    selected: bool


@dataclass(frozen=True)
class FrontData:
    """What is drawn. `means` is empty where there is one seed; `collapsed` points are far below the others.

    `dense`: with its x and y. `unmeasured`: how many finished trials lack one of the two values. `preview`: for each
    results folder that holds one the (x, y) of its subnets in the order of x; empty where they lack a value.
    """

    results: Results
    x: Objective
    y: Objective
    groups: list[Budget] = field(repr=False)
    dense: list[tuple[Dense, float | None, float | None]] = field(repr=False)
    shown: list[Point] = field(repr=False)
    collapsed: list[Point] = field(repr=False)
    means: list[Mean] = field(default_factory=list, repr=False)
    unmeasured: int = 0
    preview: list[list[tuple[float, float]]] = field(default_factory=list, repr=False)

    @property
    def goals(self) -> tuple[int, int]:
        """Of y and x."""
        return self.y.goal, self.x.goal

    @property
    def lost(self) -> list[Trial]:
        """Trials that ended without a subnet."""
        return [trial for trial in self.results.trials if trial.status in ("failed", "stopped")]

    @property
    def front(self) -> list[tuple[float, float]]:
        """The (x, y) of the front in the order of x: of means over seeds where there are several, else of trials.

        None over different data: their accuracies do not compare, and no trial is on a front.
        """
        if self.means:
            return sorted((mean.x.mean, mean.y.mean) for mean in self.means if mean.on_front)
        return sorted((point.x, point.y) for point in self.shown + self.collapsed if point.on_front)

    @property
    def knee(self) -> tuple[float, float] | None:
        """The knee of the front: see `analysis.trials.dominance.knee`; None where the trials do not compare."""
        front = self.front
        return knee([y for _, y in front], [x for x, _ in front], self.goals) if front else None

    @property
    def curves(self) -> dict[tuple[str, str], list[tuple[float, float]]]:
        """The (x, y) of the selected network of each budget, in the order of x, by (experiment, what budgets limit).

        Means over seeds where there are several. None over different data: their accuracies do not compare.
        """
        chosen = [(each.budget, each.x.mean, each.y.mean) for each in self.means if each.selected]
        if not self.means:
            chosen = [(each.budget, each.x, each.y) for each in self.shown if each.selected]
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for number, x, y in chosen if not self.results.mixed else []:
            group = self.groups[number]
            found.setdefault((group.experiment, group.outcome.resource), []).append((x, y))
        return {key: sorted(points) for key, points in found.items()}

    @property
    def ticks(self) -> tuple[list[Tick], str]:
        """The budgets that limit x, ascending, and what their labels are numbers of; see `budget_ticks`."""
        return budget_ticks(self.groups, self.x.name)

    @property
    def noise(self) -> tuple[float, float, int] | None:
        """The y between which a network is not told apart from the dense one, and how many images that is due to.

        The 95 % interval of a difference by the number of images alone (`analysis.fronts.change`). None with several
        seeds, which measure more than that, with several dense networks, or where the records do not state the number.
        """
        known = [y for _, _, y in self.dense if y is not None]
        records = [point.trial.record for point in self.shown if point.trial.record]
        images = images_in(records, "test" if self.y.is_test else "val") if records else None
        if self.means or self.y.kind != "percent" or len(known) != 1 or not images:
            return None
        return *unsure(known[0], images), images

    @property
    def minimum(self) -> float | None:
        """What no subnet can go below on x; None where no budget limits it or none knows."""
        units = [(group.outcome.minimum, unit_on(group, self.x.name)) for group in self.groups]
        return min((minimum / unit for minimum, unit in units if minimum and unit), default=None)

    def all_x(self) -> list[float]:
        """Every value that the x axis must show."""
        values = [point.x for point in self.shown] + [x for _, x, _ in self.dense if x is not None]
        values += [mean.x.mean + _drawn(mean.x) for mean in self.means]
        values += [x for line in self.preview for x, _ in line]
        minimum = self.minimum
        return values + [tick.x for tick in self.ticks[0]] + ([] if minimum is None else [minimum])

    def all_y(self) -> list[float]:
        """Every value that the y axis must show: previews only as far down as trained trials are not flattened."""
        return self._trained_y() + [y for line in self.preview for _, y in line if y >= self.floor]

    @property
    def floor(self) -> float:
        """The y below which a preview is off the scale: trained trials keep half of an axis of accuracies."""
        values = self._trained_y()
        if self.y.kind != "percent" or not values:
            return -math.inf
        return min(values) - max(max(values) - min(values), 1.0)

    def _trained_y(self) -> list[float]:
        values = [point.y for point in self.shown] + [y for _, _, y in self.dense if y is not None]
        for mean in self.means:
            values += [mean.y.mean - _drawn(mean.y), mean.y.mean + _drawn(mean.y)]
        values += self.noise[:1] if self.noise else ()
        return [min(value, 100.0) for value in values] if self.y.kind == "percent" else values


def front_data(results: Results, x: Objective, y: Objective) -> FrontData:
    """Gather everything that a figure of y over x shows."""
    groups = budgets(results)
    points, unmeasured = _points(results, groups, x, y)
    shown, collapsed = split_collapsed(points) if y.kind == "percent" else (points, [])
    dense = [(size, size.mean(x.dense), size.mean(y.dense)) for size in dense_networks(results)]
    means, preview = _means(results, groups, x, y), _preview(results, x, y)
    return FrontData(results, x, y, groups, dense, shown, collapsed, means, unmeasured, preview)


def _preview(results: Results, x: Objective, y: Objective) -> list[list[tuple[float, float]]]:
    values = [[(_number(x.of(trial)), _number(y.of(trial))) for trial in trials] for trials in previews(results)]
    known = [sorted((a, b) for a, b in line if not math.isnan(a + b)) for line in values]
    return [line for line in known if line]


def _points(results: Results, groups: list[Budget], x: Objective, y: Objective) -> tuple[list[Point], int]:
    """List the finished trials with both values and a top-1 val, and how many lack one of the two."""
    index = {trial.folder: number for number, group in enumerate(groups) for trial in group.trials}
    best = {group.best.folder for group in groups if group.best}
    finished = [trial for trial in results.by_status("finished") if is_measured(trial)]
    values = [(trial, _number(x.of(trial)), _number(y.of(trial))) for trial in finished]
    known = [each for each in values if not math.isnan(each[1] + each[2])]
    nan = float("nan")
    # A front by test accuracy over all trials would select by it: there the selected trials alone compete.
    reported = x.is_test or y.is_test
    able = [trial.folder in best if reported else trial.met_budget for trial, _, _ in known]
    compare = not results.mixed
    competes = [flag and compare for flag in able]
    met = [(b, a) if flag else (nan, nan) for flag, (_, a, b) in zip(competes, known, strict=True)]
    flags = front_of([b for b, _ in met], [a for _, a in met], (y.goal, x.goal))
    points = [
        Point(trial, a, b, index[trial.folder], bool(flag), trial.folder in best)
        for (trial, a, b), flag in zip(known, flags, strict=True)
    ]
    return points, len(finished) - len(known)


def _means(results: Results, groups: list[Budget], x: Objective, y: Objective) -> list[Mean]:
    shown = most_seeds(settings(results))
    if all(setting.n < 2 for setting in shown):
        return []
    index = {trial.folder: number for number, group in enumerate(groups) for trial in group.trials}
    selected = [group.setting for group in groups]
    values = [(each, spread([x.of(t) for t in each.trials]), spread([y.of(t) for t in each.trials])) for each in shown]
    known = [(each, a, b) for each, a, b in values if a is not None and b is not None]
    able = [each in selected or not (x.is_test or y.is_test) for each, _, _ in known]
    compare = not results.mixed
    competes = [flag and compare for flag in able]
    nan = float("nan")
    met = [(b.mean, a.mean) if flag else (nan, nan) for flag, (_, a, b) in zip(competes, known, strict=True)]
    flags = front_of([b for b, _ in met], [a for _, a in met], (y.goal, x.goal))
    return [
        Mean(each, a, b, index[each.trials[0].folder], bool(flag), each in selected)
        for (each, a, b), flag in zip(known, flags, strict=True)
    ]


def _drawn(each: Spread) -> float:
    """Return what the axes must show of an interval: that of two seeds is so wide that it would flatten all else."""
    return (each.interval or 0.0) if each.n > 2 else 0.0


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def split_collapsed(points: list[Point]) -> tuple[list[Point], list[Point]]:
    """Split into (points that set the scale, points far below the others, which would flatten it).

    Far below: under the median, and under the selected point of every budget, by more than 10 points and more than five
    median absolute deviations. A small budget's trials are not far below because the others are better.
    """
    if len(points) < 3:
        return points, []
    values = [point.y for point in points]
    middle = median(values)
    lowest = min([middle, *(point.y for point in points if point.selected)])
    floor = lowest - max(10.0, 5 * median(abs(value - middle) for value in values))
    return [point for point in points if point.y >= floor], [point for point in points if point.y < floor]
