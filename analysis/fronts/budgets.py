"""Select a trial for each budget, gather the dense networks, and say how far a difference can be trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, variance

from analysis.fronts.seeds import Setting, budget_of, comparable, is_measured, most_seeds, rank, settings, spread
from analysis.trials.cache import cached
from analysis.trials.compare import spec_value, spec_without
from analysis.trials.trial import Results, Trial
from ofb_ray.results.history import images_of
from ofb_ray.results.records import BudgetOutcome, Record

# Experiment, and resource, label and size of a budget.
Key = tuple[str, str, str, int]


@dataclass(frozen=True)
class Budget:
    """The trials of one budget. `best` has the highest top-1 val of those that finished and met it, or is None.

    Ties go to fewer MACs, then to the lower number. Top-1 test takes no part: it is only reported. `setting` is, where
    the budget was run with several seeds, the one of highest mean top-1 val among those with the most seeds.
    """

    label: str
    outcome: BudgetOutcome
    trials: tuple[Trial, ...]
    best: Trial | None
    setting: Setting | None = None
    experiment: str = ""

    @property
    def chosen(self) -> tuple[Trial, ...]:
        """The trials that stand for the budget: those of the setting, or the best one; none where there is none."""
        return tuple(self.setting.trials) if self.setting else (self.best,) if self.best else ()

    @property
    def records(self) -> list[Record]:
        """The records of these trials that have a subnet."""
        return [trial.record for trial in self.chosen if trial.record and trial.record.subnet]


@dataclass(frozen=True)
class Dense:
    """The dense networks of one size that were trained alike; accuracies (percentages) are means over the `count`.

    `networks`: for each that was trained, the trials that started from it. `deviations`: of top-1 val and test.
    """

    macs: int
    params: int
    top1_val: float | None
    top1_test: float | None
    count: int
    networks: tuple[tuple[Trial, ...], ...] = ()
    deviations: tuple[float | None, float | None] = (None, None)

    def mean(self, of: Callable[[Trial], float | None]) -> float | None:
        """Average a quantity over the networks, each taken from the first of its trials that knows it."""
        values = [next((v for trial in same if (v := of(trial)) is not None), None) for same in self.networks]
        over = spread(values)
        return over.mean if over else None


@cached
def budgets(results: Results) -> list[Budget]:
    """List the budgets that have a record, the smallest first; those of latency, of MACs, of parameters.

    Folders that are one experiment share their budgets, trials of different data sets do not
    (`analysis.fronts.seeds.comparable`).
    """
    named = comparable(results)
    groups: dict[Key, list[Trial]] = {}
    for trial in results.trials:
        if trial.record is not None:
            groups.setdefault((named[trial.folder], *budget_of(trial.record)), []).append(trial)
    repeated: dict[Key, list[Setting]] = {}
    for setting in settings(results):
        repeated.setdefault((setting.experiment, *setting.budget), []).append(setting)
    by_budget = []
    for key, trials in groups.items():
        experiment, _, label, _ = key
        outcome = next(trial.record for trial in trials if trial.record).budget
        chosen = best_setting(repeated.get(key, []))
        name = f"{experiment} {label}" if experiment else label
        by_budget.append(Budget(name, outcome, tuple(trials), best_of(trials), chosen, experiment))
    return sorted(by_budget, key=lambda one: (one.experiment, one.outcome.resource, one.outcome.target, one.label))


def best_setting(candidates: Sequence[Setting]) -> Setting | None:
    """Choose the first by `order` of those with the most seeds; None for one seed."""
    return min((each for each in most_seeds(candidates) if each.n > 1), key=order, default=None)


def order(setting: Setting) -> tuple[float, float]:
    """Return a key for selection over seeds: highest mean top-1 val, then fewest MACs."""
    subnets = [trial.record.subnet for trial in setting.trials if trial.record and trial.record.subnet]
    return -fmean(subnet.top1_val or 0.0 for subnet in subnets), fmean(subnet.macs for subnet in subnets)


def best_of(trials: list[Trial]) -> Trial | None:
    """Choose the trial of highest top-1 val among those within their budget, of equals the one of fewest MACs."""
    return min((trial for trial in trials if trial.met_budget and is_measured(trial)), key=rank, default=None)


@cached
def dense_networks(results: Results) -> list[Dense]:
    """Make one entry per size and training; a dense network that trials share (equal seed, accuracies) counts once."""
    sizes: dict[tuple[int, int, str], dict[tuple[int, float | None, float | None], list[Trial]]] = {}
    for trial in results.trials:
        if trial.record is not None and (dense := trial.record.dense) is not None:
            trained = json.dumps(
                [spec_value(trial.record, part) for part in ("model", "data", "dense")], sort_keys=True
            )
            seen = sizes.setdefault((dense.macs, dense.params, trained), {})
            seen.setdefault((trial.record.seed, dense.top1_val, dense.top1_test), []).append(trial)
    return [_dense(macs, params, seen) for (macs, params, _), seen in sorted(sizes.items(), key=lambda item: item[0])]


def _dense(macs: int, params: int, seen: dict[tuple[int, float | None, float | None], list[Trial]]) -> Dense:
    val, test = spread([val for _, val, _ in seen]), spread([test for _, _, test in seen])
    means = (val.mean if val else None, test.mean if test else None)
    deviations = (val.deviation if val else None, test.deviation if test else None)
    return Dense(macs, params, *means, len(seen), tuple(map(tuple, seen.values())), deviations)


@cached
def seeds_note(results: Results) -> str:
    """Say how large a difference of top-1 means something, from repeated seeds, else from the split's size."""
    records = [trial.record for trial in results.by_status("finished") if trial.record and is_measured(trial)]
    if not records:
        return ""
    seeds = {record.seed for record in records}
    head = f"{len(seeds)} seeds" if len(seeds) > 1 else f"One seed ({min(seeds)})"
    spread = _seed_spread(records)
    if spread is not None:
        return (
            f"{head}: equal settings differ by {spread:.2f} points of top-1 val from seed to seed "
            f"(standard deviation): differences below about {2 * math.sqrt(2) * spread:.1f} points mean nothing."
        )
    why = "no setting was run with two of them" if len(seeds) > 1 else "chance in training is not measured"
    error = _sampling_error(records)
    if error is None:
        return f"{head}: {why}, small differences may mean nothing; `seeds: [0, 1, 2]` in the sweep measures it."
    images, points = error
    return (
        f"{head}: {why}. {images} held-out images alone give a standard error of {points:.1f} points: differences "
        f"below about {2 * math.sqrt(2) * points:.1f} points mean nothing."
    )


def _seed_spread(records: list[Record]) -> float | None:
    """Pool the standard deviation of top-1 val over trials that differ in the seed only; None without any."""
    groups: dict[str, dict[int, float]] = {}
    for record in records:
        assert record.subnet is not None
        assert record.subnet.top1_val is not None
        setting = spec_without(record, ["seed"])
        groups.setdefault(setting, {})[record.seed] = record.subnet.top1_val
    repeated = [list(group.values()) for group in groups.values() if len(group) > 1]
    if not repeated:
        return None
    freedom = sum(len(group) - 1 for group in repeated)
    return math.sqrt(sum(variance(group) * (len(group) - 1) for group in repeated) / freedom)


def _sampling_error(records: list[Record]) -> tuple[int, float] | None:
    """Return (held-out images, binomial standard error in points) at the median top-1 val, if the size is known."""
    images = {images_of(record, "val") for record in records}
    count = images.pop() if len(images) == 1 else None
    if count is None or count < 1:
        return None
    hits = median(record.subnet.top1_val or 0.0 for record in records if record.subnet) / 100 * count
    # One more hit and one more miss, so that a perfect score does not pass for a certain one.
    share = (hits + 1) / (count + 2)
    return count, 100 * math.sqrt(share * (1 - share) / count)
