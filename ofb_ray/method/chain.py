"""The cost of a grid of candidates as a chain: what the projection's dynamic program walks along.

A cost couples axes in pairs: every attention and MLP with the embedding that it reads and writes, and every embedding
with the next one (Swin's patch merging; a ViT has one embedding). The embeddings are the *coupling* axes: in order,
they are a chain of which every other axis is a leaf.

Shape suffixes: S sizes of a stage's coupling axis, R of the coupling axis before, I of a free axis, K choices.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ofb_ray.method.axis import Width
from ofb_ray.method.cost import Part, Table, axis_of, heads_of

Candidates = Mapping[str, Sequence[Width]]
Costs = NDArray[np.int64]
# A cost on a grid: per set of at most two axes, in the grid's order, an array with one dimension an axis.
Tables = Mapping[tuple[str, ...], Costs]
_NOTHING = np.zeros((), dtype=np.int64)


@dataclass(frozen=True)
class Layer:
    """One axis of a chain and what its choices cost; all costs >= 0.

    Args:
        axis: its name.
        coupling: whether it is a coupling axis, with which a stage begins; else a free axis of that stage.
        cost_SK: a row for each size of the stage's coupling axis. A free axis has a column for each candidate: what it
            costs above the cheapest. A coupling axis has a column for each size of the coupling axis before (one in
            the first stage): what the two sizes cost, together with the cheapest candidates of the stage's free axes.
    """

    axis: str
    coupling: bool
    cost_SK: Costs


@dataclass(frozen=True)
class Chain:
    """A cost as `base` plus one choice a layer, in bins of `unit`.

    Args:
        base: cost of the cheapest choices, in the cost's own unit.
        layers: the stages one after the other, costs in bins.
        unit: cost of one bin.
        exact: whether nothing was rounded to whole bins.
    """

    base: int
    layers: tuple[Layer, ...]
    unit: int = 1
    exact: bool = True


def cost_tables(terms: Iterable[Part], candidates: Candidates) -> Tables:
    """Evaluate a cost on a grid: one array per set of axes that some part of it names together.

    Args:
        terms: the cost.
        candidates: the sizes of every axis.
    Raises:
        ValueError: a term couples more than two axes, or a table does not know a size.
    """
    order = {name: index for index, name in enumerate(candidates)}
    counts = {name: np.array([size.units for size in sizes]) for name, sizes in candidates.items()}
    counts |= {heads_of(name): np.array([size.heads for size in sizes]) for name, sizes in candidates.items()}
    tables: dict[tuple[str, ...], Costs] = {}
    for term in terms:
        axes = tuple(map(axis_of, term.variables))
        if len(axes) > 2:
            raise ValueError(f"{term} couples more than two axes")
        if isinstance(term, Table):
            table = term.on(candidates)
        else:
            table = np.array(term.coefficient, dtype=np.int64)
            for variable in term.variables:
                table = np.multiply.outer(table, counts[variable])
        if len(axes) == 2 and order[axes[0]] > order[axes[1]]:
            axes, table = axes[::-1], table.T
        tables[axes] = tables.get(axes, _NOTHING) + table
    return tables


def make_chain(tables: Tables, candidates: Candidates) -> Chain:
    """Order the coupling axes of a cost and give every other axis to the one that couples it.

    Args:
        tables: the cost.
        candidates: the sizes of every axis.
    Raises:
        ValueError: two coupling axes are coupled that are not neighbours.
    """
    pairs = [axes for axes in tables if len(axes) == 2]
    coupling = _coupling(pairs, candidates)
    owner = {name: coupling[0] for name in candidates if name not in coupling}
    for first, second in pairs:
        if first in owner or second in owner:
            owner |= {first: second} if first in owner else {second: first}
        elif coupling.index(second) - coupling.index(first) != 1:
            raise ValueError(f"the cost couples {first} and {second}, which are not neighbours in the chain")
    base, layers = int(tables.get((), 0)), []
    for before, axis in zip(["", *coupling], coupling, strict=False):
        free = {name: _together(tables, candidates, name, axis).T for name in owner if owner[name] == axis}
        join_SR = _together(tables, candidates, axis, before)
        join_SR = join_SR + sum(cost_SI.min(axis=1, keepdims=True) for cost_SI in free.values())
        base += int(join_SR.min())
        layers.append(Layer(axis, True, join_SR - join_SR.min()))
        layers += [Layer(name, False, cost_SI - cost_SI.min(axis=1, keepdims=True)) for name, cost_SI in free.items()]
    return Chain(base, tuple(layers))


def _coupling(pairs: Iterable[tuple[str, ...]], candidates: Candidates) -> list[str]:
    """The axes to fix so that no two free ones are coupled, in the order of `candidates`; at least one."""
    degree = Counter(name for pair in pairs for name in pair)
    fixed = {name for name, count in degree.items() if count > 1}
    fixed |= {first for first, second in pairs if degree[first] == degree[second] == 1}
    return [name for name in candidates if name in fixed] or list(candidates)[:1]


def _together(tables: Tables, candidates: Candidates, first: str, second: str) -> Costs:
    """Cost of `first` alone and with `second`, (sizes of `first`, sizes of `second`); one column where that is ""."""
    columns = len(candidates[second]) if second else 1
    alone = np.zeros((len(candidates[first]), columns), dtype=np.int64) + tables.get((first,), _NOTHING)[..., None]
    return alone + (tables[first, second] if (first, second) in tables else tables.get((second, first), _NOTHING).T)


def in_bins(chain: Chain, limit: int, bins: int, *, up: bool = True) -> Chain:
    """Count costs in at most `bins` bins below `limit`: exactly where their common divisor allows it, else rounded.

    What costs more than the limit costs one bin more than there is room for.

    Args:
        chain: not yet in bins.
        limit: largest cost of interest, at least the chain's base.
        bins: largest number of them.
        up: round every cost up, so that no network above `limit` seems to be below; else down.
    """
    room = limit - chain.base
    unit = math.gcd(*(int(np.gcd.reduce(layer.cost_SK, axis=None)) for layer in chain.layers)) or 1
    exact = room // unit <= bins
    unit = unit if exact else -(-room // bins)
    sign = -1 if up else 1
    costs = (np.minimum(sign * (sign * layer.cost_SK // unit), room // unit + 1) for layer in chain.layers)
    layers = (replace(layer, cost_SK=cost_SK) for layer, cost_SK in zip(chain.layers, costs, strict=True))
    return Chain(chain.base, tuple(layers), unit, exact)
