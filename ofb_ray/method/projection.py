"""The budget as a promise: which costs the candidate grid can reach, and the best network under the budget.

Both questions are asked on the living candidates, and dynamic programming along the chain of embeddings (`chain.py`)
answers both: with the size of an embedding fixed, the cost is a sum over the free axes of its stage, and only the
merging term looks back to the stage before. Reachable costs are a sumset, kept in the bits of an integer; the best
network is a multiple-choice knapsack over the cost.

Costs are counted in bins; after walking back to a network its exact cost decides, so that the budget is never exceeded.
Where the costs' common divisor allows it the bins are exact, else finer than 1 / 1000 of the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofb_ray.method.axis import Width
from ofb_ray.method.chain import Candidates, Chain, Costs, in_bins, make_chain
from ofb_ray.method.cost import Term, cost, units_of

Utility = Mapping[str, Sequence[float]]
Step = Callable[[int, int, int, int, list[int]], int]
PROMISE = 0.99
_REACH_BINS = 1 << 16
_BEST_BINS = 1 << 14


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
    best = _nearest(terms, candidates, target, wanted)
    if best is None:
        raise ValueError(f"the smallest network costs more than {target}")
    return Goal(tuple(terms), target, min(cost(terms, units_of(best)), wanted))


def is_reachable(terms: Sequence[Term], candidates: Candidates, low: int, high: int) -> bool:
    """Whether some network of the grid costs between `low` and `high`. A True is certain."""
    best = _nearest(terms, candidates, high, low)
    return best is not None and cost(terms, units_of(best)) >= low


def project(goal: Goal, candidates: Candidates, utility: Utility) -> dict[str, Width]:
    """The network with the highest sum of utilities whose cost lies in [floor, target].

    Args:
        utility: per axis, one value per candidate (log share of the bi-mask that the candidate keeps).
    Raises:
        ValueError: no network of the grid lies there.
    """
    nearest = _nearest(goal.terms, candidates, goal.target, goal.floor)
    if nearest is None or cost(goal.terms, units_of(nearest)) < goal.floor:
        raise ValueError(f"no network costs between {goal.floor} and {goal.target}")
    return _best(goal, candidates, utility) or nearest


def _nearest(terms: Sequence[Term], candidates: Candidates, high: int, enough: int) -> dict[str, Width] | None:
    """The network with the highest cost that is at most `high`, or the first one found that costs `enough`.

    None where the smallest network costs more. Bins rounded up find no network above `high`, but may miss the best one
    where the grid is sparse; then bins rounded down, which miss none below it, are searched too.
    """
    best: dict[str, Width] | None = None
    spent = -1
    chain = make_chain(terms, candidates)
    for up in (True, False):
        binned = in_bins(chain, high, _REACH_BINS, up=up)
        slack = 0 if up or binned.exact else len(candidates)
        for used, network in _descending(binned, candidates, enough if up else high):
            value = cost(terms, units_of(network))
            if spent < value <= high:
                best, spent = network, value
            if spent >= enough or binned.base + (used + slack) * binned.unit <= spent:
                break
        if spent >= enough or binned.exact:
            break
    return best


def _descending(chain: Chain, candidates: Candidates, enough: int) -> Iterator[tuple[int, dict[str, Width]]]:
    """(bins, a network that takes them), from the most expensive reachable one down.

    Sizes of the last coupling axis are left out once a larger one surely reaches `enough`.
    """
    done = max(0, (enough - chain.base) // chain.unit + 1 + (0 if chain.exact else len(candidates)))
    limit = (1 << max(0, chain.room + 1)) - 1
    tables: list[dict[int, list[int]]] = [{0: [1]}]
    for name, join in chain.joins.items():
        stage: dict[int, list[int]] = {}
        for size in reversed(range(join.shape[1])):
            stage[size] = [_union(table[-1] << int(join[row, size]) for row, table in tables[-1].items()) & limit]
            for extra in chain.extras[name].values():
                stage[size].append(_union(stage[size][-1] << amount for amount in set(extra[size].tolist())) & limit)
            if len(tables) == len(chain.joins) and stage[size][-1].bit_length() > done:
                break
        tables.append(stage)

    def step(place: int, size: int, level: int, used: int, amounts: list[int]) -> int:
        def before(index: int) -> int:
            return tables[place + 1][size][level - 1] if level else tables[place][index][-1]

        fits = (index for index, amount in enumerate(amounts) if amount <= used)
        return next(index for index in fits if before(index) >> (used - amounts[index]) & 1)

    ends = {size: table[-1] for size, table in tables[-1].items()}
    while any(ends.values()):
        last = max(ends, key=lambda size: ends[size])
        used = ends[last].bit_length() - 1
        yield used, _walk_back(chain, candidates, last, used, step)
        ends[last] ^= 1 << used


def _best(goal: Goal, candidates: Candidates, utility: Utility) -> dict[str, Width] | None:
    """The best network whose cost lies in the window and is not lost by rounding."""
    chain = in_bins(make_chain(goal.terms, candidates), goal.target, _BEST_BINS)
    start = np.full((1, chain.room + 1), -math.inf)
    start[0, 0] = 0.0
    choices: list[list[list[NDArray[np.int16]]]] = []
    for name, join in chain.joins.items():
        ends, stage = [], []
        for size in range(join.shape[1]):
            value, choice = _combine(start, join[:, size], np.full(len(start), utility[name][size]))
            stage.append([choice])
            for axis, extra in chain.extras[name].items():
                value, choice = _combine(value[None], extra[size], np.asarray(utility[axis]))
                stage[-1].append(choice)
            ends.append(value)
        choices.append(stage)
        start = np.stack(ends)

    def step(place: int, size: int, level: int, used: int, amounts: list[int]) -> int:
        return int(choices[place][size][level][used])

    first = max(0, (goal.floor - chain.base) // chain.unit)
    window = start[:, first:]
    for flat in np.argsort(-window, axis=None, kind="stable"):
        last, used = divmod(int(flat), window.shape[1])
        if window[last, used] == -math.inf:
            break
        found = _walk_back(chain, candidates, last, used + first, step)
        if goal.floor <= cost(goal.terms, units_of(found)) <= goal.target:
            return found
    return None


def _combine(
    values: NDArray[np.float64], amounts: Costs, gains: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """One knapsack step: per bin the best values[k or 0] moved up by amounts[k] plus gains[k], and its k."""
    bins = values.shape[1]
    best, choice = np.full(bins, -math.inf), np.zeros(bins, dtype=np.int16)
    for index, (amount, gain) in enumerate(zip(amounts.tolist(), gains.tolist(), strict=True)):
        if amount < bins:
            moved = values[index if len(values) > 1 else 0, : bins - amount] + gain
            np.putmask(choice[amount:], moved > best[amount:], index)
            np.maximum(best[amount:], moved, out=best[amount:])
    return best, choice


def _walk_back(chain: Chain, candidates: Candidates, size: int, used: int, step: Step) -> dict[str, Width]:
    """From the last coupling axis at `size` with `used` bins to the sizes of all axes."""
    found: dict[str, Width] = {}
    for place, (name, join) in reversed([*enumerate(chain.joins.items())]):
        found[name] = candidates[name][size]
        for level, (axis, extra) in reversed([*enumerate(chain.extras[name].items(), start=1)]):
            index = step(place, size, level, used, extra[size].tolist())
            found[axis] = candidates[axis][index]
            used -= int(extra[size, index])
        index = step(place, size, 0, used, join[:, size].tolist())
        used -= int(join[index, size])
        size = index
    return {name: found[name] for name in candidates}


def _union(sets: Iterable[int]) -> int:
    total = 0
    for bits in sets:
        total |= bits
    return total
