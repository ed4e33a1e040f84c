"""What a search found, in sentences: which layers were kept and cut, how many cuts, when the widths were decided."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from analysis.searches.importances import Importance
from analysis.searches.trajectories import cuts
from analysis.searches.widths import Subnet
from ofb_ray.results.records import Record


def share(subnet: Subnet, name: str) -> float:
    """Units of an axis over those of the dense network."""
    (heads, width), (all_heads, all_width) = subnet.sizes[name], subnet.dense[name]
    return heads * width / (all_heads * all_width)


def kept(rows: Sequence[Subnet], which: str = "subnets on the front") -> str:
    """The layers that keep the most and the least, on average over subnets of one network."""
    if not rows:
        return ""
    shares = {name: fmean(share(row, name) for row in rows) for name in rows[0].sizes}
    order = sorted(shares, key=lambda name: -shares[name])
    parts = [", ".join(f"{name} {shares[name]:.0%}" for name in some) for some in (order[:3], order[-3:][::-1])]
    several = len(rows) > 1
    of = f"Over the {len(rows)} {which}, on average" if several else f"In the {which.replace('subnets', 'subnet')}"
    return f"{of}, kept most: {parts[0]}; cut most: {parts[1]}."


def decisions(record: Record, title: str) -> str:
    """Cuts of one search, the largest output gap among them, and how its widths were decided."""
    made = cuts(record)
    cutting = [cut for cut in made if cut.units]
    by_hand = [cut for cut in made if cut.projected]
    eliminated = [cut for cut in made if cut.decided and not cut.projected]
    axes = sum(cut.decided for cut in made)
    if not made:
        return f"{title}: no cut."
    worst = max(made, key=lambda cut: cut.gap)
    text = f"{title}: {len(cutting)} cut{'s' * (len(cutting) != 1)} of {sum(cut.units for cut in cutting)} units"
    if eliminated:
        text += f"; {sum(cut.decided for cut in eliminated)} of {axes} widths decided by elimination"
        first, last = eliminated[0].epoch, eliminated[-1].epoch
        text += f" (epoch {first})" if first == last else f" (epochs {first} to {last})"
    if by_hand:
        text += f"; {sum(cut.decided for cut in by_hand)} of {axes} by the projection in epoch {by_hand[0].epoch}"
    return f"{text}; largest output gap {worst.gap:.2g} (epoch {worst.epoch}{', projection' * worst.projected})."


def importance_line(found: Importance) -> str:
    """The parameter that moves top-1 most within a budget beside what equals would have, or why there is none."""
    if not found.shares:
        return f"Budget {found.label}: importances: {found.reason}."
    key, value = next(iter(found.shares.items()))
    alike = f"{1 / len(found.shares):.0%} if all {len(found.shares)} mattered alike"
    return f"Budget {found.label}: {key} moves top-1 most, {value:.0%} by fANOVA over {found.trials} trials ({alike})."
