"""Cost as a sum of parts: a polynomial in the widths, which is exact for MACs, and tables, which a measurement fills.

A MAC is one multiply-accumulate of a matrix product, a convolution or an attention product; element-wise work,
norms and softmax are not counted (torch's `FlopCounterMode` counts the same operators, at 2 per MAC).

An axis gives two variables: its units, under its name, and its heads, under `heads_of(name)`: a table with one column
per head (Swin's relative position bias) shrinks with the heads alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ofb_ray.method.axis import Axis, Cut, Width

Number = TypeVar("Number", int, Tensor)
_HEADS = "#heads"


def heads_of(axis: str) -> str:
    """The variable that counts the heads of `axis`."""
    return axis + _HEADS


def axis_of(variable: str) -> str:
    """The axis that a variable belongs to."""
    return variable.removesuffix(_HEADS)


@dataclass(frozen=True)
class Term:
    """`coefficient` x the product of `variables`.

    No term names an axis twice, so that the expected cost is the cost of the expected variables.

    Args:
        coefficient: in MACs or parameters.
        variables: units of axes, by name, and head counts, by `heads_of`.
    """

    coefficient: int
    variables: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """What every size of one axis costs, or every pair of sizes of two axes; without axes a constant.

    Args:
        variables: at most two axes, by name.
        sizes: of each axis, those that the table knows.
        cost: one dimension an axis, in nanoseconds, MACs or parameters.
    """

    variables: tuple[str, ...]
    sizes: tuple[tuple[Width, ...], ...]
    cost: NDArray[np.int64]

    def at(self, values: Mapping[str, int]) -> int:
        """Look up the cost at a size of every axis, by its units and heads.

        Raises:
            ValueError: the table does not know a size.
        """
        return int(self.cost[tuple(self._place(axis, values[axis], values[heads_of(axis)]) for axis in self.variables)])

    def on(self, candidates: Mapping[str, Sequence[Width]]) -> NDArray[np.int64]:
        """Give the part of the table at these sizes of its axes.

        Raises:
            ValueError: the table does not know a size.
        """
        if tuple(tuple(candidates[axis]) for axis in self.variables) == self.sizes:
            return self.cost
        rows = ([self._place(axis, size.units, size.heads) for size in candidates[axis]] for axis in self.variables)
        return self.cost[np.ix_(*rows)]

    @cached_property
    def _places(self) -> dict[tuple[str, int, int], int]:
        known = dict(zip(self.variables, self.sizes, strict=True))
        return {(axis, one.units, one.heads): at for axis, some in known.items() for at, one in enumerate(some)}

    def _place(self, axis: str, units: int, heads: int) -> int:
        if (axis, units, heads) not in self._places:
            raise ValueError(f"the table of {' and '.join(self.variables)} does not know all of their sizes")
        return self._places[axis, units, heads]


Part = Term | Table


def cost(terms: Iterable[Part], values: Mapping[str, Number]) -> Number:
    """Compute sum_t coefficient_t prod_v values_v and what tables say: an int for ints, else a differentiable scalar.

    Args:
        terms: at least one. Tables know sizes alone, so their values must be ints.
        values: of every variable, in units or heads.
    Raises:
        ValueError: there is no term, or a table does not know a size.
    """
    parts = [_value(term, values) for term in terms]
    if not parts:
        raise ValueError("a cost needs at least one term")
    return sum(parts[1:], start=parts[0])


def _value(term: Part, values: Mapping[str, Number]) -> Number:
    if isinstance(term, Table):
        return term.at(values)  # type: ignore[arg-type, return-value]  # a tensor has no size to look up
    value: Any = term.coefficient
    for variable in term.variables:
        value = values[variable] * value
    return value  # type: ignore[no-any-return]


def units_of(widths: Mapping[str, Width]) -> dict[str, int]:
    """Give every variable of a set of sizes: unit counts and head counts."""
    values = {name: width.units for name, width in widths.items()}
    return values | {heads_of(name): width.heads for name, width in widths.items()}


def smallest(axes: Sequence[Axis]) -> dict[str, Width]:
    """Give the sizes of the smallest reachable network."""
    return {axis.name: axis.candidates[0] for axis in axes}


def merge(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Merge the terms with equal variables: far fewer operations a step."""
    total: dict[tuple[str, ...], int] = {}
    for term in terms:
        variables = tuple(sorted(term.variables))
        total[variables] = total.get(variables, 0) + term.coefficient
    return tuple(Term(coefficient, variables) for variables, coefficient in total.items())


def parameter_terms(shapes: Mapping[str, Sequence[int]], cuts: Iterable[Cut], axes: Sequence[Axis]) -> tuple[Term, ...]:
    """Read the parameter count off the cuts as a polynomial: a cut dimension becomes copies x units (or heads).

    Args:
        shapes: of every parameter, by name.
        cuts: what of them follows the axes.
        axes: with their current sizes.
    Raises:
        ValueError: a dimension is not as long as its cut says, or a tensor is cut twice along one axis.
    """
    values = units_of({axis.name: axis.size for axis in axes})
    cut_along = {(cut.param, cut.dim): cut for cut in cuts}
    terms = []
    for name, shape in shapes.items():
        coefficient, variables = 1, []
        for dim, length in enumerate(shape):
            if (cut := cut_along.get((name, dim))) is None:
                coefficient *= length
                continue
            variables.append(heads_of(cut.axis) if cut.per_head else cut.axis)
            count = values[variables[-1]]
            if length != count * cut.copies:
                raise ValueError(f"{name} dim {dim} is {length}, not {cut.copies} x {count} of {cut.axis}")
            coefficient *= cut.copies
        if len({axis_of(variable) for variable in variables}) < len(variables):
            raise ValueError(f"{name} is cut twice along one axis: its expected size would not be exact")
        terms.append(Term(coefficient, tuple(variables)))
    return merge(terms)
