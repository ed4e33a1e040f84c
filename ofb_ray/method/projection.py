"""The budget as a promise: which costs the candidate grid can reach, and the best network under the budget.

Both questions are asked on the living candidates. A few *coupling* axes (the embedding) are enumerated; with them
fixed the cost is a sum over the other axes, so reachable costs are a sumset (kept in the bits of an integer) and the
best network is a multiple-choice knapsack (dynamic programming over the cost).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ofb_ray.method.axis import Width
from ofb_ray.method.cost import Term, cost

Candidates = Mapping[str, Sequence[Width]]
PROMISE = 0.99
_MAX_BITS = 1 << 20
_BINS = 8192


@dataclass(frozen=True)
class Goal:
    """A budget on one resource: the cost lies in [floor, target]; floor < 0.99 target only if the grid forces it."""

    terms: tuple[Term, ...]
    target: int
    floor: int

    @property
    def note(self) -> str:
        """Says so where the candidate grid cannot come within 1 % of the target."""
        if self.floor >= math.ceil(PROMISE * self.target):
            return ""
        return f"the candidate grid reaches at most {self.floor} of {self.target}"


def make_goal(terms: Sequence[Term], candidates: Candidates, target: int) -> Goal:
    """The goal for `target`: at least 99 % of it, or the nearest cost below that the whole grid allows.

    Raises:
        ValueError: the smallest network costs more than `target`.
    """
    wanted = math.ceil(PROMISE * target)
    terms = tuple(terms)
    if is_reachable(terms, candidates, wanted, target):
        return Goal(terms, target, wanted)
    best = max((split.highest(target) for split in _splits(terms, candidates)), default=-1)
    if best < 0:
        raise ValueError(f"the smallest network costs more than {target}")
    return Goal(terms, target, best)


def is_reachable(terms: Sequence[Term], candidates: Candidates, low: int, high: int) -> bool:
    """Whether some network of the grid costs between `low` and `high`."""
    return any(low <= split.highest(high) for split in _splits(terms, candidates))


def project(goal: Goal, candidates: Candidates, utility: Mapping[str, Sequence[float]]) -> dict[str, Width]:
    """The network with the highest sum of utilities whose cost lies in [floor, target].

    Args:
        utility: per axis, one value per candidate (log share of the bi-mask that the candidate keeps).
    Raises:
        ValueError: no network of the grid lies there.
    """
    best: tuple[float, dict[str, Width]] | None = None
    for split in _splits(goal.terms, candidates):
        fixed = sum(utility[name][list(candidates[name]).index(width)] for name, width in split.fixed.items())
        found = split.best(goal.floor, goal.target, utility)
        if found and (best is None or found[0] + fixed > best[0]):
            best = found[0] + fixed, {**split.fixed, **found[1]}
    if best is None:
        raise ValueError(f"no network costs between {goal.floor} and {goal.target}")
    return {name: best[1][name] for name in candidates}


@dataclass(frozen=True)
class _Split:
    """The cost with the coupling axes fixed: base + sum over free axes of costs[axis][candidate]."""

    fixed: dict[str, Width]
    free: dict[str, Sequence[Width]]
    base: int
    costs: dict[str, list[int]]

    def highest(self, high: int) -> int:
        """The highest reachable cost <= high, or -1. Exact unless the grid is finer than 1 / 2^20 of it."""
        room = high - self.base - sum(min(costs) for costs in self.costs.values())
        if room < 0:
            return -1
        extras = [[value - min(costs) for value in costs] for costs in self.costs.values()]
        if room >= (most := sum(max(extra) for extra in extras)):
            return high - room + most
        unit = math.gcd(*(value for extra in extras for value in extra))
        unit = max(unit, room // _MAX_BITS + 1) if room // unit > _MAX_BITS else unit
        reachable, limit = 1, (1 << (room // unit + 1)) - 1
        for extra in extras:
            reachable = _union(reachable << -(-value // unit) for value in set(extra)) & limit
        return high - room + (reachable.bit_length() - 1) * unit

    def best(
        self, floor: int, target: int, utility: Mapping[str, Sequence[float]]
    ) -> tuple[float, dict[str, Width]] | None:
        """The best choice of the free axes with floor <= cost <= target, as (utility, widths)."""
        lows = {name: min(costs) for name, costs in self.costs.items()}
        room = target - self.base - sum(lows.values())
        if room < 0 or self.highest(target) < floor:
            return None
        for bins in (_BINS, 16 * _BINS):
            bin_size = max(1, -(-room // bins))
            tables = self._tables(room // bin_size + 1, bin_size, lows, utility)
            first = max(0, (floor - target + room) // bin_size)
            for last in first + np.argsort(-tables[-1][0][first:], kind="stable"):
                value = float(tables[-1][0][last])
                if value == -math.inf:
                    break
                widths = self._walk_back(tables, int(last), bin_size, lows)
                total = self.base + sum(self.costs[name][index] for name, index in widths.items())
                if floor <= total <= target:
                    return value, {name: self.free[name][index] for name, index in widths.items()}
        return None

    def _tables(
        self, bins: int, bin_size: int, lows: Mapping[str, int], utility: Mapping[str, Sequence[float]]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per free axis: the best utility of exactly each (rounded up) extra cost, and the choice that gives it."""
        value = np.full(bins, -math.inf)
        value[0] = 0.0
        tables = [(value, np.zeros(bins, dtype=np.int32))]
        for name in self.free:
            better, choice = np.full(bins, -math.inf), np.zeros(bins, dtype=np.int32)
            for index, amount in enumerate(self.costs[name]):
                shift = -(-(amount - lows[name]) // bin_size)
                if shift >= bins:
                    continue
                shifted = np.concatenate([np.full(shift, -math.inf), value[: bins - shift]]) + utility[name][index]
                choice = np.where(shifted > better, index, choice)
                better = np.maximum(better, shifted)
            value = better
            tables.append((better, choice))
        return tables

    def _walk_back(
        self, tables: list[tuple[np.ndarray, np.ndarray]], last: int, bin_size: int, lows: Mapping[str, int]
    ) -> dict[str, int]:
        widths: dict[str, int] = {}
        for name, (_, choice) in zip(reversed(list(self.free)), reversed(tables), strict=False):
            widths[name] = index = int(choice[last])
            last -= -(-(self.costs[name][index] - lows[name]) // bin_size)
        return widths


def _union(sets: Iterator[int]) -> int:
    total = 0
    for bits in sets:
        total |= bits
    return total


def _coupling(terms: Sequence[Term]) -> list[str]:
    """Few axes such that fixing them leaves at most one free axis in every term (greedy)."""
    fixed: list[str] = []
    while True:
        counts: dict[str, int] = {}
        for term in terms:
            free = {axis for axis in term.axes if axis not in fixed}
            if len(free) > 1:
                for axis in free:
                    counts[axis] = counts.get(axis, 0) + 1
        if not counts:
            return fixed
        fixed.append(max(counts, key=lambda axis: counts[axis]))


def _splits(terms: Sequence[Term], candidates: Candidates) -> Iterator[_Split]:
    """One split per choice of the coupling axes, from the largest to the smallest."""
    coupling = [name for name in candidates if name in _coupling(terms)]
    free = {name: sizes for name, sizes in candidates.items() if name not in coupling}
    for sizes in itertools.product(*(reversed(candidates[name]) for name in coupling)):
        fixed = dict(zip(coupling, sizes, strict=True))
        zero = dict.fromkeys(free, 0) | {name: width.units for name, width in fixed.items()}
        base = cost(terms, zero)
        slopes = {name: cost(terms, zero | {name: 1}) - base for name in free}
        costs = {name: [slopes[name] * width.units for width in free[name]] for name in free}
        yield _Split(fixed, free, base, costs)
