"""Group trials that are one setting run with several seeds, and derive mean, deviation and interval."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.special import stdtrit

from analysis.trials.cache import cached
from analysis.trials.compare import data_set_of, spec_without
from analysis.trials.trial import Results, Trial
from ofb_ray.results.records import Record

CONFIDENCE = 0.95
SAME = "trials that differ in the seed only"
CHOSEN = "the selected trial of each seed, as the sampler suggested other parameters for each"


@dataclass(frozen=True)
class Spread:
    """A quantity over `n` seeds. `deviation` is the sample's standard deviation, None for one seed."""

    mean: float
    deviation: float | None
    n: int

    @property
    def interval(self) -> float | None:
        """Half the width of the 95 % t interval of the mean; None for one seed."""
        if self.deviation is None:
            return None
        return float(stdtrit(self.n - 1, (1 + CONFIDENCE) / 2)) * self.deviation / math.sqrt(self.n)


@dataclass(frozen=True)
class Setting:
    """What was run once a seed.

    Args:
        experiment: name of the sweep, or of the sweeps that are one experiment; empty where there is only one.
        name: budget and values of the grid, for the reader.
        trials: one a seed, in the order of the seeds: finished, within the budget, with a measured top-1 val.
        chosen: whether each trial is the best of several of its seed (`CHOSEN`), not the only one (`SAME`).
    """

    experiment: str
    name: str
    budget: tuple[str, str, int]
    trials: tuple[Trial, ...]
    chosen: bool

    @property
    def n(self) -> int:
        """The number of seeds."""
        return len(self.trials)


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return mean and deviation of the values that are numbers; None where there are none."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return None
    return Spread(fmean(known), stdev(known) if len(known) > 1 else None, len(known))


@cached
def experiments(results: Results) -> dict[Path, str]:
    """Name the experiment of each results folder, by a name that is empty where all folders are one experiment.

    Several folders are one experiment if what they explore is the same, all else in their trials' specs but the seed,
    the budget and the explored values is equal, and no seed is in two of them. Where a folder has no record yet, it
    stands alone.
    """
    folders: dict[Path, list[Trial]] = {}
    for trial in results.trials:
        folders.setdefault(trial.folder.parent, []).append(trial)
    if len(folders) < 2:
        return dict.fromkeys(folders, "")
    groups: list[tuple[str, set[int], list[Path]]] = []
    for folder, trials in folders.items():
        base, seeds = _base(trials), {trial.record.seed for trial in trials if trial.record}
        for other, taken, members in groups:
            if base and base == other and not seeds & taken:
                taken |= seeds
                members.append(folder)
                break
        else:
            groups.append((base, set(seeds), [folder]))
    if len(groups) == 1:
        return dict.fromkeys(folders, "")
    named = [_name([folders[folder][0].sweep for folder in members]) for _, _, members in groups]
    count = Counter(named)
    named = [name if count[name] == 1 else f"{name} ({number})" for number, name in enumerate(named, 1)]
    return {folder: name for name, (_, _, members) in zip(named, groups, strict=True) for folder in members}


@cached
def comparable(results: Results) -> dict[Path, str]:
    """Name the experiment of each trial folder, with its data set where trials of one results folder have several."""
    named = experiments(results)
    sets: dict[Path, set[tuple[str, str]]] = {}
    for trial in results.trials:
        if trial.record:
            sets.setdefault(trial.folder.parent, set()).add(data_set_of(trial.record))
    names = {}
    for trial in results.trials:
        several = trial.record is not None and len(sets[trial.folder.parent]) > 1
        kind, folder = data_set_of(trial.record) if trial.record and several else ("", "")
        names[trial.folder] = f"{named[trial.folder.parent]} {folder or kind}".strip()
    return names


@cached
def settings(results: Results) -> list[Setting]:
    """List every setting with at least one trial that finished within its budget.

    Trials of one experiment, budget and point of the grid that differ in the seed only are one setting; promoted trials
    learned for longer and are never in one with others. Where a sampler suggested parameters, they differ from seed to
    seed, and then the point of the grid is the setting, with the selected trial of each seed (highest top-1 val).
    """
    named = comparable(results)
    cells: dict[tuple[Any, ...], list[Trial]] = {}
    for trial in results.trials:
        if trial.record and trial.met_budget and is_measured(trial):
            grid = {k: v for k, v in (trial.explored or {}).items() if k not in trial.record.params_explored}
            budget = budget_of(trial.record)
            key = (named[trial.folder], budget, json.dumps(grid, sort_keys=True), trial.promoted)
            cells.setdefault(key, []).append(trial)
    groups = []
    for (experiment, budget, grid_text, promoted), trials in cells.items():
        grid = json.loads(grid_text)
        point = [f"{key}={value}" for key, value in grid.items()]
        name = ", ".join([budget[1], *point, *["promoted"] * promoted])
        by_params: dict[str, list[Trial]] = {}
        for trial in trials:
            by_params.setdefault(_params(trial), []).append(trial)
        repeated = len({_seed(trial) for trial in trials}) > 1
        suggested = repeated and any(len({_seed(trial) for trial in same}) == 1 for same in by_params.values())
        for same in [trials] if suggested and len(by_params) > 1 else by_params.values():
            seeds: dict[int, list[Trial]] = {}
            for trial in same:
                seeds.setdefault(_seed(trial), []).append(trial)
            best = tuple(min(seeds[seed], key=rank) for seed in sorted(seeds))
            groups.append(Setting(experiment, name, budget, best, any(len(some) > 1 for some in seeds.values())))
    return groups


def pooled(results: Results) -> str:
    """Say which sweeps are taken as one experiment, as one sentence; empty where none are."""
    sweeps = {trial.folder.parent: trial.sweep for trial in results.trials}
    groups: dict[str, list[str]] = {}
    for folder, name in experiments(results).items():
        groups.setdefault(name, []).append(sweeps[folder])
    several = [", ".join(members) for members in groups.values() if len(members) > 1]
    return f"One experiment, but for the seeds: {'; '.join(several)}." if several else ""


def most_seeds(candidates: Sequence[Setting]) -> list[Setting]:
    """Choose those of each experiment and budget that were run with the most seeds: a mean of few is high by chance."""
    most: dict[tuple[str, Any], int] = {}
    for each in candidates:
        key = (each.experiment, each.budget)
        most[key] = max(most.get(key, 0), each.n)
    return [each for each in candidates if each.n == most[each.experiment, each.budget]]


def treatment(shown: Sequence[Setting]) -> str:
    """Say how seeds are treated, as one sentence; empty for one seed."""
    several = [each for each in shown if each.n > 1]
    if not several:
        return ""
    counts = sorted({each.n for each in several})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    kinds = " or ".join(dict.fromkeys(CHOSEN if each.chosen else SAME for each in several))
    return f"Points and front are means over {number} seeds of {kinds}."


def is_measured(trial: Trial) -> bool:
    """Whether there is a subnet whose top-1 val is a number."""
    top1 = trial.record.subnet.top1_val if trial.record and trial.record.subnet else None
    return top1 is not None and not math.isnan(top1)


def rank(trial: Trial) -> tuple[float, int, int]:
    """Return a key for selection: highest top-1 val, then fewest MACs, then the lowest number."""
    subnet = trial.record.subnet if trial.record else None
    assert subnet is not None
    assert subnet.top1_val is not None
    return -subnet.top1_val, subnet.macs, trial.number


def budget_of(record: Record) -> tuple[str, str, int]:
    """Return (resource, label, size): what makes two trials' budgets the same.

    The size is the target. Of a latency it is the dense network's MACs: each device has a table of its own, and the
    same budget is another number of nanoseconds there.
    """
    by_latency = record.budget.resource == "latency_ns"
    size = record.dense.macs if by_latency and record.dense else record.budget.target
    return record.budget.resource, record.budget.label, size


def _seed(trial: Trial) -> int:
    assert trial.record is not None
    return trial.record.seed


def _params(trial: Trial) -> str:
    assert trial.record is not None
    return json.dumps(trial.record.params_explored, sort_keys=True)


def _base(trials: Sequence[Trial]) -> str:
    """Return what the trials of a folder have in common: which keys they explore, and all else of their specs."""
    keys = sorted({key for trial in trials for key in trial.explored or {}})
    bases = {_without(trial.record, keys) for trial in trials if trial.record and trial.status != "failed"}
    return json.dumps([keys, sorted(bases)]) if bases else ""


def _without(record: Record, keys: Sequence[str]) -> str:
    """Return the spec as text, without its seed, budget and the explored keys. Data count wherever they lie."""
    return spec_without(record, ("seed", "budget", "name", *keys), anywhere=True)


def _name(names: Sequence[str]) -> str:
    """`digits` for `digits-0`, `digits-1`: what the sweeps' names begin with; else the first name and how many more."""
    if len(names) == 1:
        return names[0]
    prefix = _prefix(names).rstrip("-_ .0123456789")
    return f"{prefix} ({len(names)} sweeps)" if prefix else f"{names[0]} and {len(names) - 1} more"


def _prefix(names: Sequence[str]) -> str:
    columns = [set(letters) for letters in zip(*names, strict=False)]
    length = next((number for number, letters in enumerate(columns) if len(letters) > 1), len(columns))
    return names[0][:length]
