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
    """`coefficient` x the product of `variables`.

    No term names an axis twice, so that the expected cost is the cost of the expected variables.

    Args:
        coefficient: in MACs or parameters.
        variables: units of axes, by name, and head counts, by `heads_of`.
    """

    coefficient: int
    variables: tuple[str, ...]


def cost(terms: Iterable[Term], values: Mapping[str, Number]) -> Number:
    """Compute sum_t coefficient_t prod_v values_v: an int for ints, a differentiable scalar for tensors.

    Args:
        terms: at least one.
        values: of every variable, in units or heads.
    Raises:
        ValueError: there is no term.
    """
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
            cut = cut_along.get((name, dim))
            if cut is None:
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
