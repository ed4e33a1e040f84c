"""The budget as a promise: which costs the candidate grid can reach, and the best network under the budget.

Both questions are asked on the living candidates, and one dynamic program along the chain of embeddings (`chain.py`)
answers both: with the size of an embedding fixed, the cost is a sum over the free axes of its stage, and only the
merging term looks back to the stage before. A table of the program says of every number of bins what the networks that
take exactly so many are worth: `Reachable`, whether there is one; `Best`, the highest sum of utilities (a
multiple-choice knapsack).

Costs are counted in bins; after walking back to a network its exact cost decides, so that the budget is never exceeded.
Where the costs' common divisor allows it the bins are exact, else finer than 1 / 1000 of the budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ofb_ray.method.axis import Width
from ofb_ray.method.chain import Candidates, Chain, cost_tables, in_bins, make_chain
from ofb_ray.method.cost import Part, cost, units_of

Utility = Mapping[str, Sequence[float]]
Values = NDArray[np.float64]
Table = TypeVar("Table")
# One choice: the table before it, the bins that it takes, the utility that it adds.
Move = tuple[Table, int, float]
PROMISE = 0.99
# The passes in search of the nearest cost: bins, and whether costs are rounded up. The first mostly settles it.
_REACH_PASSES = ((1 << 13, True), (1 << 16, True), (1 << 16, False))
_BEST_BINS = 1 << 14


@dataclass(frozen=True)
class Goal:
    """A budget on one resource: the cost lies in [floor, target]; floor < 0.99 target only if the grid forces it.

    Args:
        terms: the cost, in MACs, parameters or nanoseconds.
        target: largest cost allowed.
        floor: smallest cost allowed.
    """

    terms: tuple[Part, ...]
    target: int
    floor: int

    @property
    def note(self) -> str:
        """Says so where the candidate grid cannot come within 1 % of the target."""
        if self.floor >= math.ceil(PROMISE * self.target):
            return ""
        return f"the candidate grid reaches at most {self.floor} of {self.target}"


def make_goal(terms: Sequence[Part], candidates: Candidates, target: int) -> Goal:
    """Set the goal for `target`: at least 99 % of it, or the nearest cost below that the whole grid allows.

    Args:
        terms: the cost.
        candidates: the sizes of every axis.
        target: largest cost allowed.
    Raises:
        ValueError: the smallest network costs more than `target`.
    """
    wanted = math.ceil(PROMISE * target)
    _, spent = _nearest(terms, candidates, target, wanted)
    if spent < 0:
        raise ValueError(f"the smallest network costs more than {target}")
    return Goal(tuple(terms), target, min(spent, wanted))


def is_reachable(terms: Sequence[Part], candidates: Candidates, low: int, high: int) -> bool:
    """Tell whether some network of the grid costs between `low` and `high`. A True is certain.

    Args:
        terms: the cost.
        candidates: the sizes of every axis.
        low: smallest cost allowed.
        high: largest cost allowed.
    """
    return _nearest(terms, candidates, high, low)[1] >= low


def project(goal: Goal, candidates: Candidates, utility: Utility) -> dict[str, Width]:
    """Find the network with the highest sum of utilities whose cost lies in [floor, target].

    Args:
        goal: the budget.
        candidates: the sizes of every axis.
        utility: per axis, one value per candidate (log share of the bi-mask that the candidate keeps).
    Raises:
        ValueError: no network of the grid lies there.
    """
    chain = make_chain(cost_tables(goal.terms, candidates), candidates)
    if chain.base <= goal.target:
        chain = in_bins(chain, goal.target, _BEST_BINS)
        program = Program(chain, Best((goal.target - chain.base) // chain.unit), candidates, utility)
        first = max(0, (goal.floor - chain.base) // chain.unit)
        window = np.stack([table[first:] for _, table in program.ends()][::-1])
        for flat in np.argsort(-window, axis=None, kind="stable")[: np.isfinite(window).sum()].tolist():
            size, used = divmod(flat, window.shape[1])
            network = program.network(size, used + first)
            if goal.floor <= cost(goal.terms, units_of(network)) <= goal.target:
                return network
    # Rounding to bins may have lost all networks of a narrow window.
    network, spent = _nearest(goal.terms, candidates, goal.target, goal.floor)
    if spent < goal.floor:
        raise ValueError(f"no network costs between {goal.floor} and {goal.target}")
    return network


def _nearest(terms: Sequence[Part], candidates: Candidates, high: int, enough: int) -> tuple[dict[str, Width], int]:
    """Find the network with the highest cost that is at most `high`, or the first that costs `enough`; with its cost.

    Bins rounded up find no network above `high`, but may miss the best one where the grid is sparse; then bins rounded
    down, which miss none below it, are searched too.

    Returns:
        sizes and cost; no sizes and -1 where the smallest network costs more.
    """
    whole = make_chain(cost_tables(terms, candidates), candidates)
    no_utility = {axis: [0.0] * len(sizes) for axis, sizes in candidates.items()}
    nearest, spent = dict[str, Width](), -1
    for bins, up in _REACH_PASSES if whole.base <= high else ():
        chain = in_bins(whole, high, bins, up=up)
        # The bins by which the sum of rounded costs may fall short.
        slack = 0 if up or chain.exact else len(candidates)
        program = Program(chain, Reachable((high - chain.base) // chain.unit), candidates, no_utility)
        for size, reached in program.ends():
            while reached and chain.base + (reached.bit_length() - 1 + slack) * chain.unit > spent:
                network = program.network(size, reached.bit_length() - 1)
                if spent < (value := cost(terms, units_of(network))) <= high:
                    nearest, spent = network, value
                if spent >= enough:
                    return nearest, spent
                reached ^= 1 << reached.bit_length() - 1
        if chain.exact:
            break
    return nearest, spent


class TableKind(Protocol[Table]):
    """What a table knows of every number of bins.

    Args:
        start: the table before any choice: no bin is taken.
    """

    start: Table

    def after(self, moves: Iterable[Move[Table]]) -> Table:
        """The table after one choice among `moves`."""

    def explains(self, before: Table, used: int, gain: float, table: Table, total: int) -> bool:
        """Whether the entry of `table` at `total` bins is that of `before` at `used` bins with `gain` added."""


class Reachable:
    """Whether some network takes exactly so many bins: the bits of an integer.

    Args:
        room: largest number of bins of interest.
    """

    def __init__(self, room: int) -> None:
        self._room, self.start = room, 1

    def after(self, moves: Iterable[Move[int]]) -> int:
        union = 0
        for before, amount, _ in moves:
            union |= before << amount
        return union & ((1 << self._room + 1) - 1)

    def explains(self, before: int, used: int, gain: float, table: int, total: int) -> bool:
        return before >> used & 1 == 1


class Best:
    """The highest sum of utilities among networks that take exactly so many bins, -inf where there is none.

    Args:
        room: largest number of bins of interest.
    """

    def __init__(self, room: int) -> None:
        self.start: Values = np.full(room + 1, -math.inf)
        self.start[0] = 0.0

    def after(self, moves: Iterable[Move[Values]]) -> Values:
        best = np.full_like(self.start, -math.inf)
        for before, amount, gain in moves:
            np.maximum(best[amount:], before[: len(best) - amount] + gain, out=best[amount:])
        return best

    def explains(self, before: Values, used: int, gain: float, table: Values, total: int) -> bool:
        return bool(before[used] + gain == table[total])


class Program(Generic[Table]):
    """The tables along a chain, made when they are asked for, and the way back from an entry to its network.

    Args:
        chain: the cost, counted in bins.
        kind: what the tables know.
        candidates: the sizes of every axis.
        utility: per axis, one value per candidate.
    """

    def __init__(self, chain: Chain, kind: TableKind[Table], candidates: Candidates, utility: Utility) -> None:
        self._layers, self._kind, self._candidates, self._utility = chain.layers, kind, candidates, utility
        self._costs = [layer.cost_SK.tolist() for layer in chain.layers]
        self._tables: dict[tuple[int, int], Table] = {}

    def ends(self) -> Iterator[tuple[int, Table]]:
        """Every size of the last coupling axis, the largest first, and the table of the networks that have it."""
        for size in reversed(range(len(self._costs[-1]))):
            yield size, self._table(len(self._layers), size)

    def network(self, size: int, total: int) -> dict[str, Width]:
        """Walk back from the entry at `total` bins of the table that ends with `size`; the first of equal choices."""
        found: dict[str, Width] = {}
        for depth in range(len(self._layers), 0, -1):
            table, layer = self._table(depth, size), self._layers[depth - 1]
            choice, total = next(
                (choice, total - amount)
                for choice, (before, amount, gain) in enumerate(self._moves(depth, size))
                if amount <= total and self._kind.explains(before, total - amount, gain, table, total)
            )
            found[layer.axis] = self._candidates[layer.axis][size if layer.coupling else choice]
            size = choice if layer.coupling else size
        return {axis: found[axis] for axis in self._candidates}

    def _table(self, depth: int, size: int) -> Table:
        """The table after `depth` layers, the coupling axis of the last one at `size`; it and those before are kept."""
        open_ends = [(depth, size)]  # not by recursion: a chain may have more layers than Python has frames
        while open_ends:
            key = open_ends[-1]
            missing = [before for before in self._before(*key) if before not in self._tables]
            if not missing:
                self._tables[open_ends.pop()] = self._kind.after(self._moves(*key)) if key[0] else self._kind.start
            open_ends += missing
        return self._tables[depth, size]

    def _before(self, depth: int, size: int) -> list[tuple[int, int]]:
        """The tables that the one after `depth` layers is made of."""
        if not depth or (depth, size) in self._tables:
            return []
        choices = range(len(self._costs[depth - 1][size])) if self._layers[depth - 1].coupling else (size,)
        return [(depth - 1, choice) for choice in choices]

    def _moves(self, depth: int, size: int) -> Iterator[Move[Table]]:
        """The choices in layer `depth` - 1 that lead to its coupling axis at `size`."""
        layer, gains = self._layers[depth - 1], self._utility[self._layers[depth - 1].axis]
        for choice, amount in enumerate(self._costs[depth - 1][size]):
            before = self._tables[depth - 1, choice if layer.coupling else size]
            yield before, amount, gains[size if layer.coupling else choice]
