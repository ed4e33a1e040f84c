"""Cost as a polynomial in the widths: exact for integers, differentiable for expected widths.

A MAC is one multiply-accumulate of a matrix product, a convolution or an attention product; element-wise work,
norms and softmax are not counted (torch's `FlopCounterMode` counts the same operators, at 2 per MAC).

An axis gives two variables: its units, under its name, and its heads, under `heads_of(name)`: a table with one column
per head (Swin's relative position bias) shrinks with the heads alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

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
    """`coefficient` x the product of `variables`: units of axes, by name, and head counts, by `heads_of`.

    No term names an axis twice, so that the expected cost is the cost of the expected variables.
    """

    coefficient: int
    variables: tuple[str, ...]


def cost(terms: Iterable[Term], values: Mapping[str, Number]) -> Number:
    """sum_t coefficient_t prod_v values_v: an int for ints, a differentiable scalar for tensors."""
    total: Number | None = None
    for term in terms:
        value: Number | int = term.coefficient
        for variable in term.variables:
            value = values[variable] * value
        total = value if total is None else total + value  # type: ignore[assignment]
    if total is None:
        raise ValueError("a cost needs at least one term")
    return total


def units_of(widths: Mapping[str, Width]) -> dict[str, int]:
    """Every variable of a set of sizes: unit counts and head counts."""
    values = {name: width.units for name, width in widths.items()}
    return values | {heads_of(name): width.heads for name, width in widths.items()}


def smallest(axes: Sequence[Axis]) -> dict[str, Width]:
    """The smallest reachable network."""
    return {axis.name: Width(axis.head_choices[0], axis.width_choices[0]) for axis in axes}


def largest(axes: Sequence[Axis]) -> dict[str, Width]:
    """The network at its current size."""
    return {axis.name: axis.size for axis in axes}


def merge(terms: Iterable[Term]) -> tuple[Term, ...]:
    """The same polynomial with one term per product of variables: far fewer operations a step."""
    total: dict[tuple[str, ...], int] = {}
    for term in terms:
        variables = tuple(sorted(term.variables))
        total[variables] = total.get(variables, 0) + term.coefficient
    return tuple(Term(coefficient, variables) for variables, coefficient in total.items())


def parameter_terms(shapes: Mapping[str, Sequence[int]], cuts: Iterable[Cut], axes: Sequence[Axis]) -> tuple[Term, ...]:
    """The parameter count as a polynomial, read off the cuts: a cut dimension becomes copies x units (or heads).

    Raises:
        ValueError: a dimension is not as long as its cut says, or a tensor is cut twice along one axis.
    """
    sizes = {axis.name: axis.size for axis in axes}
    cut_dims: dict[str, dict[int, Cut]] = {}
    for cut in cuts:
        cut_dims.setdefault(cut.param, {})[cut.dim] = cut
    terms = []
    for name, shape in shapes.items():
        coefficient, variables = 1, []
        for dim, length in enumerate(shape):
            found = cut_dims.get(name, {}).get(dim)
            if found is None:
                coefficient *= length
                continue
            count = sizes[found.axis].heads if found.per_head else sizes[found.axis].units
            if length != count * found.copies:
                raise ValueError(f"{name} dim {dim} is {length}, not {found.copies} x {count} of {found.axis}")
            coefficient *= found.copies
            variables.append(heads_of(found.axis) if found.per_head else found.axis)
        if len({axis_of(variable) for variable in variables}) < len(variables):
            raise ValueError(f"{name} is cut twice along one axis: its expected size would not be exact")
        terms.append(Term(coefficient, tuple(variables)))
    return merge(terms)
