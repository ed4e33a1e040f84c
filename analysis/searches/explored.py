"""Gather what a sweep explored: its parameters with their ranges, and each budget's trials with their values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.fronts.budgets import budgets
from analysis.trials.sweep_file import ExploredRange, read_sweep_file
from analysis.trials.trial import Results, Trial
from ofb_ray.errors import InputError


@dataclass(frozen=True)
class Parameter:
    """A range, or a list of choices, of one dotted key; `choices` is empty for a range."""

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class Group:
    """The trials of one budget that explored: their values, and top-1 val (None: no subnet within the budget)."""

    label: str
    parameters: tuple[Parameter, ...]
    values: tuple[dict[str, Any], ...]
    top1: tuple[float | None, ...]

    @property
    def finished(self) -> list[tuple[dict[str, Any], float]]:
        """The values and top-1 val of the trials that finished within the budget."""
        return [(values, top1) for values, top1 in zip(self.values, self.top1, strict=True) if top1 is not None]


def groups(results: Results) -> list[Group]:
    """Make one group a budget, the smallest first, without promoted trials, which trained for longer."""
    ranges = {folder: _ranges(folder) for folder in {trial.folder.parent for trial in results.trials}}
    by_budget = []
    for budget in budgets(results):
        trials = [trial for trial in budget.trials if trial.record and not trial.promoted]
        values = [{key: as_choice(value) for key, value in (trial.explored or {}).items()} for trial in trials]
        sweeps = [ranges[folder] for folder in dict.fromkeys(trial.folder.parent for trial in trials)]
        keys = dict.fromkeys(key for each in values for key in each)
        parameters = [_parameter(key, [each[key] for each in values if key in each], sweeps) for key in keys]
        by_budget.append(Group(budget.label, tuple(parameters), tuple(values), tuple(map(_top1, trials))))
    return by_budget


def as_choice(value: Any) -> Any:
    """Return a value that can be compared and hashed: lists and mappings as JSON text."""
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def _top1(trial: Trial) -> float | None:
    return trial.record.subnet.top1_val if trial.met_budget and trial.record and trial.record.subnet else None


def _ranges(folder: Path) -> Mapping[str, ExploredRange]:
    """Read the ranges of a sweep; none where its file does not tell."""
    try:
        return read_sweep_file(folder).ranges
    except (InputError, OSError, ValueError):
        return {}


def _parameter(key: str, values: list[Any], sweeps: list[Mapping[str, ExploredRange]]) -> Parameter:
    """Take the range of the sweep files, wide enough for all values; without one the values' own."""
    ranges = [sweep[key] for sweep in sweeps if key in sweep]
    limits = [each.limits for each in ranges if each.limits is not None]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    listed = [as_choice(value) for each in ranges for value in each.values]
    if not numbers or listed or not (limits or ranges == []):
        return Parameter(key, tuple(dict.fromkeys([*listed, *values])))
    low = min([*values, *(low for low, _ in limits)])
    high = max([*values, *(high for _, high in limits)])
    log = bool(ranges) and all(each.log for each in ranges) and low > 0
    integer = bool(ranges) and all(each.integer for each in ranges)
    return Parameter(key, (), low, high, log, integer)
