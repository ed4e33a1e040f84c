"""Say in sentences what a search decided: layers kept and cut, number of cuts, when the widths were decided."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from analysis.searches.importances import Importance
from analysis.searches.trajectories import cuts
from analysis.searches.widths import Subnet
from analysis.trials.trial import Trial
from ofb_ray.results.records import Record


def title_of(trial: Trial) -> str:
    """Name a trial: `#7 (budget 0.25)`; in a chain `#7 (budget 0.25 from 0.5)`."""
    above = trial.record.above if trial.record else ""
    return f"#{trial.name} (budget {trial.budget}{' from ' * bool(above)}{above})"


def share(subnet: Subnet, name: str) -> float:
    """Return units of an axis over those of the dense network."""
    (heads, width), (all_heads, all_width) = subnet.sizes[name], subnet.dense[name]
    return heads * width / (all_heads * all_width)


def kept(rows: Sequence[Subnet], which: str = "subnets on the front") -> str:
    """Name the layers that keep the most and the least, on average over subnets of one network."""
    if not rows:
        return ""
    shares = {name: fmean(share(row, name) for row in rows) for name in rows[0].sizes}
    order = sorted(shares, key=lambda name: -shares[name])
    parts = [", ".join(f"{name} {shares[name]:.0%}" for name in some) for some in (order[:3], order[-3:][::-1])]
    several = len(rows) > 1
    of = f"Over the {len(rows)} {which}, on average" if several else f"In the {which.replace('subnets', 'subnet')}"
    return f"{of}, kept most: {parts[0]}; cut most: {parts[1]}."


def decisions(record: Record, title: str) -> str:
    """Say the cuts of one search, the largest output gap among them, and how its widths were decided."""
    rebuilds = cuts(record)
    cutting = [cut for cut in rebuilds if cut.units]
    by_hand = [cut for cut in rebuilds if cut.projected]
    eliminated = [cut for cut in rebuilds if cut.decided and not cut.projected]
    axes = sum(cut.decided for cut in rebuilds)
    if not rebuilds:
        return f"{title}: no cut."
    worst = max(rebuilds, key=lambda cut: cut.gap)
    text = f"{title}: {len(cutting)} cut{'s' * (len(cutting) != 1)} of {sum(cut.units for cut in cutting)} units"
    if eliminated:
        text += f"; {sum(cut.decided for cut in eliminated)} of {axes} widths decided by elimination"
        first, last = eliminated[0].epoch, eliminated[-1].epoch
        text += f" (epoch {first})" if first == last else f" (epochs {first} to {last})"
    if by_hand:
        text += f"; {sum(cut.decided for cut in by_hand)} of {axes} by the projection in epoch {by_hand[0].epoch}"
    return f"{text}; largest output gap {worst.gap:.2g} (epoch {worst.epoch}{', projection' * worst.projected})."


def importance_line(importance: Importance) -> str:
    """Name the parameter that moves top-1 most within a budget beside what equals would have, or why there is none."""
    if not importance.shares:
        return f"Budget {importance.label}: importances: {importance.reason}."
    key, value = next(iter(importance.shares.items()))
    alike = f"{1 / len(importance.shares):.0%} if all {len(importance.shares)} mattered alike"
    over = f"by fANOVA over {importance.trials} trials ({alike})"
    return f"Budget {importance.label}: {key} moves top-1 most, {value:.0%} {over}."
