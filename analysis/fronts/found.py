"""Say in a sentence what was found: what the budget nearest to half costs in accuracy, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from analysis.fronts.budgets import Budget, budgets
from analysis.fronts.change import Change, change_of
from analysis.fronts.seeds import CONFIDENCE
from analysis.trials.trial import Results
from ofb_ray.results.records import Record

ONE_LINE = 80  # columns; what is said beside the first sentence fits in one line or is left out
HALF = 0.5
UNITS = {"macs": "MACs", "params": "parameters", "latency_ns": "latency"}
# An interval of more says nothing: few images.
WIDE_POINTS = 3.0
SPLITS = {"test": "test", "val": "held-out"}
FRACTIONS = {0.25: "a quarter", 1 / 3: "a third", HALF: "half", 2 / 3: "two thirds", 0.75: "three quarters"}
OPEN = ("running", "queued", "died")


def found(results: Results) -> list[str]:
    """Say what was found in at most three sentences, the most important one first; empty where nothing compares.

    The first is about the budget nearest to half of the dense network's cost. The others, where they fit in a line,
    are about the smallest budget with a network, and about budgets without one. The accuracy is that of the table: on
    the test split where it was measured, else on the held-out split, which also selected.
    """
    groups = budgets(results)
    if not groups or results.mixed:
        return []
    some = [group for group in groups if group.records]
    if not some:
        return ["No trial has finished within its budget."]
    nearest = min(some, key=_order)
    again = "So far, with" if any(results.by_status(status) for status in OPEN) else "With"
    head = f"{nearest.experiment}: {again[0].lower()}{again[1:]}" if nearest.experiment else again
    sentences = [f"{head} {_name(nearest)} {_first(nearest.records)}."]
    same = [g for g in some if (g.experiment, g.outcome.resource) == (nearest.experiment, nearest.outcome.resource)]
    smallest = min(same, key=lambda group: group.outcome.target)
    change = change_of(smallest.records)
    if smallest is not nearest and change is not None:
        sentences.append(f"With {_name(smallest)} {_shortly(change)}.")
    lost = [group.label for group in groups if group not in some]
    if lost:
        sentences.append(f"No network within budget{'s' * (len(lost) > 1)} {', '.join(lost)}.")
    return [each for number, each in enumerate(sentences) if number == 0 or len(each) <= ONE_LINE]


def _share(group: Budget) -> float | None:
    """Return the budget's limit over the dense network's cost; None where that is not known."""
    dense = next((each.dense for each in group.records if each.dense), None)
    cost = getattr(dense, group.outcome.resource, 0)
    return group.outcome.target / cost if cost and group.outcome.target else None


def _order(group: Budget) -> tuple[float, float]:
    """Return a key by which the budget nearest to half comes first, of equals the most accurate one."""
    share = _share(group)
    top1 = fmean(each.subnet.top1_val or 0.0 for each in group.records if each.subnet)
    return (math.inf if share is None else round(abs(share - HALF), 3)), -top1


def _name(group: Budget) -> str:
    """Name a budget in a sentence: `half of the MACs`, `1.7 GMACs (37 % of the MACs)`."""
    share, label = _share(group), group.outcome.label
    if share is None:
        return f"budget {label}"
    near = next((word for value, word in FRACTIONS.items() if abs(share - value) < 0.005), "")
    of = f"of the {UNITS[group.outcome.resource]}"
    percent = f"{100 * share:.{0 if share >= 0.0995 else 1}f} %"
    own_unit = not label.replace(".", "", 1).removeprefix("sparsity ").removeprefix("latency ").isdecimal()
    return f"{label} ({percent} {of})" if own_unit else f"{near or percent} {of}"


def _first(records: Sequence[Record]) -> str:
    """Say what the networks lose or gain, on which split and how sure it is."""
    change = change_of(records)
    if change is None:
        return _alone(records)
    what = f"{SPLITS[change.split]} top-1"
    size = _size(change)
    text = {
        "unsure": f"{what} is {size} the dense network's",
        "same": f"there is no measurable loss of {what}: {size}",
        "wide": f"{what} cannot be told from the dense network's: {size}",
        "loss": f"the network loses {size} of {what}",
        "gain": f"the network gains {size} of {what}",
    }[_kind(change)]
    return f"{text} ({'; '.join(_why(change))})"


def _shortly(change: Change) -> str:
    """Say the same of another budget in a few words."""
    size = _size(change)
    return {
        "unsure": f"it is {size} the dense network's",
        "same": f"there is no measurable loss: {size}",
        "wide": f"it cannot be told: {size}",
        "loss": f"it loses {size}",
        "gain": f"it gains {size}",
    }[_kind(change)]


def _kind(change: Change) -> str:
    if change.half is None:
        return "unsure"
    mean = change.over.mean
    if abs(mean) <= change.half:
        return "wide" if change.half > WIDE_POINTS else "same"
    return "loss" if mean < 0 else "gain"


def _size(change: Change) -> str:
    """Write the difference: signed where it may be nothing, `1.2 ± 0.6 points` where a verb says its direction."""
    mean, half = change.over.mean, change.half
    if half is None:
        amount = f"{abs(mean):.1f}"
        return "as high as" if float(amount) == 0 else f"{amount} points {'above' if mean > 0 else 'below'}"
    places = 1 if half >= 0.1 else 2
    size = f"{abs(mean):.{places}f}"
    sign = "" if _kind(change) not in ("same", "wide") or float(size) == 0 else "+" if mean > 0 else "-"
    return f"{sign}{size} ± {half:.{places}f} points"


def _why(change: Change) -> list[str]:
    """Say where the interval comes from, and what it leaves out."""
    count = change.over.n
    seeds = f"{count} seeds" if count > 1 else "one seed"
    interval = f"{100 * CONFIDENCE:g} % interval"
    if change.half is None:
        why = [f"{seeds}, no interval known"]
    elif change.images is None:
        why = [f"{interval} over {seeds}"]
    else:
        why = [f"{seeds}, {interval} of {change.images} images"]
    return why + ["the split that also selected"] * (change.split == "val")


def _alone(records: Sequence[Record]) -> str:
    """Say how accurate the networks are where no dense network's accuracy is known."""
    for split, name in SPLITS.items():
        known = [value for each in records if (value := getattr(each.subnet, f"top1_{split}")) is not None]
        if known:
            return f"the network has {fmean(known):.1f} % {name} top-1; the dense network's is not known"
    raise AssertionError("a selected trial has a held-out top-1")
