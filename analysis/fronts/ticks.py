"""Name the budgets along the axis that they limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.fronts.budgets import Budget

SHARE = "share of the MACs"
# What a budget's label holds beside its number, and what the axis says of all of them then.
_UNITS = {
    "": SHARE,
    "GMACs": "GMACs",
    "params": "parameters",
    "sparsity": "share of the MACs removed",
    "latency": "share of the latency",
    "ms": "ms",
}
_PARTS = re.compile(r"(?:(sparsity|latency) )?([\d.e+-]+M?)(?: (GMACs|params|ms))?")


@dataclass(frozen=True)
class Tick:
    """A budget's limit on the axis: where, its label, and whether any network was found for it."""

    x: float
    label: str
    reached: bool


def unit_on(group: Budget, x: str) -> float | None:
    """What a budget's resource is divided by on an axis: 1, or the dense network's latency; None: it is not on it.

    Args:
        x: name of the axis' objective.
    """
    if group.outcome.resource == x:
        return 1.0
    if (group.outcome.resource, x) != ("latency_ns", "latency_ratio"):
        return None
    known = (trial.record.dense.latency_ns for trial in group.trials if trial.record and trial.record.dense)
    return next((float(latency) for latency in known if latency), None)


def limit_on(group: Budget, x: str) -> float | None:
    """Return a budget's limit on an axis; None where it limits something else, or is not known.

    Args:
        x: name of the axis' objective.
    """
    unit = unit_on(group, x)
    return group.outcome.target / unit if unit and group.outcome.target else None


def budget_ticks(groups: Sequence[Budget], x: str) -> tuple[list[Tick], str]:
    """List the limits of the budgets that limit x, ascending, and what their labels are numbers of.

    Budgets of several experiments that share a limit are one tick. Where all labels have one unit, it is said once and
    left out of them; else it is empty.
    """
    found: dict[float, list[Budget]] = {}
    for group in groups:
        if (limit := limit_on(group, x)) is not None:
            found.setdefault(limit, []).append(group)
    parts = [_PARTS.fullmatch(group.outcome.label) for some in found.values() for group in some]
    units = {(match[1] or match[3] or "") if match else None for match in parts}
    unit = next(iter(units)) if len(units) == 1 else None
    ticks = []
    for target, some in sorted(found.items()):
        names = dict.fromkeys(group.outcome.label for group in some)
        labels = [match[2] if unit is not None and (match := _PARTS.fullmatch(name)) else name for name in names]
        ticks.append(Tick(target, ", ".join(labels), any(group.best for group in some)))
    return ticks, "" if unit is None else _UNITS[unit]
