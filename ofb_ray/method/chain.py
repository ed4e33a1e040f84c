"""The cost of a grid of candidates as a chain: what the projection's dynamic programming walks along.

The cost couples axes in pairs: every attention and MLP with the embedding that it reads and writes, and every embedding
with the next one (Swin's patch merging; a ViT has one embedding). The embeddings are the *coupling* axes: in order,
they are a chain of which every other axis is a leaf.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofb_ray.method.axis import Width
from ofb_ray.method.cost import Term, axis_of, units_of

Candidates = Mapping[str, Sequence[Width]]
Costs = NDArray[np.int64]


@dataclass(frozen=True)
class Chain:
    """The cost, split along the chain of coupling axes, as `base` plus amounts >= 0.

    Args:
        joins: per coupling axis s, (sizes of s - 1, sizes of s): all that the two sizes and the cheapest choice of
            the stage's free axes cost. The first has one row.
        extras: per coupling axis, per free axis of its stage, (sizes of s, candidates): what each adds to the cheapest.
        unit, room, exact: size of a bin, how many of them the target leaves for joins and extras, whether nothing was
            rounded (after `in_bins`).
    """

    base: int
    joins: dict[str, Costs]
    extras: dict[str, dict[str, Costs]]
    unit: int = 1
    room: int = -1
    exact: bool = True


def make_chain(terms: Sequence[Term], candidates: Candidates) -> Chain:
    """The chain of a polynomial on a grid.

    Raises:
        ValueError: a term couples more than two axes, or two coupling axes that are not neighbours.
    """
    base, single, pair = _pieces(terms, candidates)
    coupling = _coupling(pair, candidates)
    owner = dict.fromkeys(candidates, coupling[0])
    for first, second in pair:
        if first in coupling and second in coupling:
            if abs(coupling.index(first) - coupling.index(second)) != 1:
                raise ValueError(f"the cost couples {first} and {second}, which are not neighbours in the chain")
        else:
            owner |= {first: second} if second in coupling else {second: first}
    joins: dict[str, Costs] = {}
    extras: dict[str, dict[str, Costs]] = {}
    for before, name in zip([None, *coupling], coupling, strict=False):
        join = single[name][None] + (pair.get((before, name), 0) if before else 0)
        extras[name] = {}
        for axis in candidates:
            if owner[axis] == name and axis not in coupling:
                both = pair[name, axis] if (name, axis) in pair else pair.get((axis, name), np.zeros((1, 1), int)).T
                amount = np.broadcast_to(single[axis][None] + both, (len(candidates[name]), len(candidates[axis])))
                extras[name][axis] = amount - amount.min(axis=1, keepdims=True)
                join = join + amount.min(axis=1)
        base += int(join.min())
        joins[name] = join - join.min()
    return Chain(base, joins, extras)


def _pieces(
    terms: Sequence[Term], candidates: Candidates
) -> tuple[int, dict[str, Costs], dict[tuple[str, str], Costs]]:
    """The polynomial evaluated at every candidate: constant, per axis (I,), and per coupled pair (I, J)."""
    order = {name: place for place, name in enumerate(candidates)}
    values: dict[str, Costs] = {}
    for name, sizes in candidates.items():
        for variable in units_of({name: sizes[0]}):
            values[variable] = np.array([units_of({name: size})[variable] for size in sizes], dtype=np.int64)
    constant = 0
    single = {name: np.zeros(len(sizes), dtype=np.int64) for name, sizes in candidates.items()}
    pair: dict[tuple[str, str], Costs] = {}
    for term in terms:
        variables = sorted(term.variables, key=lambda variable: order[axis_of(variable)])
        axes = [axis_of(variable) for variable in variables]
        if not axes:
            constant += term.coefficient
        elif len(axes) == 1:
            single[axes[0]] = single[axes[0]] + term.coefficient * values[variables[0]]
        elif len(axes) == 2:
            amount = term.coefficient * np.outer(values[variables[0]], values[variables[1]])
            pair[axes[0], axes[1]] = pair.get((axes[0], axes[1]), 0) + amount
        else:
            raise ValueError(f"{term} couples more than two axes")
    return constant, single, pair


def _coupling(pair: Mapping[tuple[str, str], Costs], candidates: Candidates) -> list[str]:
    """The axes to fix so that no two free ones are coupled, in the order of `candidates`; at least one."""
    degree = dict.fromkeys(candidates, 0)
    for first, second in pair:
        degree[first] += 1
        degree[second] += 1
    fixed = {name for name, count in degree.items() if count > 1}
    fixed |= {first for first, second in pair if degree[first] == degree[second] == 1}
    return [name for name in candidates if name in fixed] or list(candidates)[:1]


def in_bins(chain: Chain, high: int, bins: int, *, up: bool = True) -> Chain:
    """Amounts and room in at most `bins` bins: exact where the amounts' common divisor allows it, else rounded."""
    room = high - chain.base
    amounts = [*chain.joins.values(), *(extra for stage in chain.extras.values() for extra in stage.values())]
    unit = math.gcd(*(int(np.gcd.reduce(amount, axis=None)) for amount in amounts)) or 1
    exact = room // unit <= bins
    unit = unit if exact else -(-room // bins)

    def rounded(amount: Costs) -> Costs:
        return -(-amount // unit) if up else amount // unit

    joins = {name: rounded(join) for name, join in chain.joins.items()}
    extras = {name: {axis: rounded(extra) for axis, extra in stage.items()} for name, stage in chain.extras.items()}
    return Chain(chain.base, joins, extras, unit, room // unit, exact)
