"""Choose limits, scale and unit of a figure's axes."""

from __future__ import annotations

import math

LOG_SPAN = 30  # sizes that span more than this factor are drawn on a logarithmic axis


def axis_limits(values: list[float], kind: str, marks: bool = False) -> tuple[float, float, bool]:
    """Return (low, high, logarithmic) of an axis of this kind; `marks`: room for marks at its lower end."""
    return (*accuracy_limits(values, marks), False) if kind == "percent" else size_limits(values)


def accuracy_limits(values: list[float], marks: bool) -> tuple[float, float]:
    """Return the limits of the accuracy axis, at least 1 point apart, with room below for marks at the bottom edge."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 100.0
    low, high = min(known), max(known)
    span = max(high - low, 1.0)
    middle = (low + high) / 2
    top = min(middle + span / 2 + 0.15 * span, max(100.0, high) + 0.04 * span)
    return min(middle - span / 2, top - span) - (0.25 if marks else 0.15) * span, top


def size_limits(values: list[float]) -> tuple[float, float, bool]:
    """Return (low, high, logarithmic) for sizes: from zero, unless the values span a factor of more than `LOG_SPAN`."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    if not known:
        return 0.0, 1.0, False
    if max(known) > LOG_SPAN * min(known):
        return min(known) / 1.4, max(known) * 1.3, True
    return 0.0, 1.06 * max(known), False


def unit_of(values: list[float], kind: str = "count") -> tuple[float, str]:
    """Choose the unit in which the largest value is at least 0.5 (2 for a time), and its name: (1e6, " (millions)")."""
    least = 2.0 if kind == "s" else 0.5
    largest = max((value for value in values if math.isfinite(value)), default=0.0)
    units: dict[str, tuple[tuple[float, str], ...]] = {
        "count": ((1e9, " (billions)"), (1e6, " (millions)"), (1e3, " (thousands)")),
        "s": ((86400.0, " (days)"), (3600.0, " (hours)"), (60.0, " (minutes)"), (0.0, " (s)")),
    }
    unit = next(((scale, name) for scale, name in units.get(kind, ()) if largest >= least * scale), (1.0, ""))
    return (unit[0] or 1.0), unit[1]
