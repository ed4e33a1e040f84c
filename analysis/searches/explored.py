"""What a sweep explored: its parameters and their ranges, and the trials of each budget with their values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.fronts.budgets import budgets
from analysis.load import Results, Trial
from ofb_ray.config.yaml12 import load as load_yaml
from ofb_ray.errors import InputError
from ofb_ray.results.files import SWEEP_FILE


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
    """One a budget, the smallest first. Promoted trials are left out: their accuracy comes of longer training."""
    ranges = {folder: _ranges(folder) for folder in {trial.folder.parent for trial in results.trials}}
    found = []
    for budget in budgets(results):
        trials = [trial for trial in budget.trials if trial.record and not trial.promoted]
        values = [{key: as_choice(value) for key, value in (trial.explored or {}).items()} for trial in trials]
        known = [ranges[folder] for folder in dict.fromkeys(trial.folder.parent for trial in trials)]
        keys = dict.fromkeys(key for each in values for key in each)
        parameters = [_parameter(key, [each[key] for each in values if key in each], known) for key in keys]
        found.append(Group(budget.label, tuple(parameters), tuple(values), tuple(map(_top1, trials))))
    return found


def as_choice(value: Any) -> Any:
    """A value that can be compared and hashed: lists and mappings as JSON text."""
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def _top1(trial: Trial) -> float | None:
    return trial.record.subnet.top1_val if trial.met_budget and trial.record and trial.record.subnet else None


def _ranges(folder: Path) -> dict[str, Any]:
    """The sweep's `parameters`, and the values of its `grid`; nothing where the file does not tell."""
    try:
        tree, _ = load_yaml((folder / SWEEP_FILE).read_text(encoding="utf-8"), str(folder / SWEEP_FILE))
    except (InputError, OSError, ValueError):
        return {}
    if not isinstance(tree, dict):
        return {}
    grid, parameters = tree.get("grid"), tree.get("parameters")
    listed = {key: {"values": values} for key, values in grid.items()} if isinstance(grid, dict) else {}
    return listed | (parameters if isinstance(parameters, dict) else {})


def _parameter(key: str, values: list[Any], ranges: list[dict[str, Any]]) -> Parameter:
    """The range of the sweep files, wide enough for all values; without one the values' own."""
    known = [tree[key] for tree in ranges if isinstance(tree.get(key), dict)]
    limits = [(tree["min"], tree["max"]) for tree in known if tree.get("min") is not None]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    listed = [as_choice(value) for tree in known for value in tree.get("values") or ()]
    if not numbers or listed or not (limits or known == []):
        return Parameter(key, tuple(dict.fromkeys([*listed, *values])))
    low = min([*values, *(float(low) for low, _ in limits)])
    high = max([*values, *(float(high) for _, high in limits)])
    log = bool(known) and all(tree.get("log") for tree in known) and low > 0
    integer = bool(known) and all(tree.get("integer") for tree in known)
    return Parameter(key, (), low, high, log, integer)
