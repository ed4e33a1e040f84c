"""Cost as a polynomial in the widths: exact for integers, differentiable for expected widths.

A MAC is one multiply-accumulate of a matrix product, a convolution or an attention product; element-wise work,
norms and softmax are not counted (torch's `FlopCounterMode` counts the same operators, at 2 per MAC).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from ofb_ray.method.axis import Axis, Cut, Width

Number = TypeVar("Number", int, Tensor)


@dataclass(frozen=True)
class Term:
    """`coefficient` x the product of the units of `axes`."""

    coefficient: int
    axes: tuple[str, ...]


def cost(terms: Iterable[Term], units: Mapping[str, Number]) -> Number:
    """sum_t coefficient_t prod_a units_a: an int for ints, a differentiable scalar for tensors."""
    total: Number | None = None
    for term in terms:
        value: Number | int = term.coefficient
        for axis in term.axes:
            value = units[axis] * value
        total = value if total is None else total + value  # type: ignore[assignment]
    if total is None:
        raise ValueError("a cost needs at least one term")
    return total


def units_of(widths: Mapping[str, Width]) -> dict[str, int]:
    """The unit counts of a set of sizes."""
    return {name: width.units for name, width in widths.items()}


def smallest(axes: Sequence[Axis]) -> dict[str, Width]:
    """The smallest reachable network."""
    return {axis.name: Width(axis.head_choices[0], axis.width_choices[0]) for axis in axes}


def largest(axes: Sequence[Axis]) -> dict[str, Width]:
    """The network at its current size."""
    return {axis.name: axis.size for axis in axes}


def merge(terms: Iterable[Term]) -> tuple[Term, ...]:
    """The same polynomial with one term per product of axes: far fewer operations a step."""
    total: dict[tuple[str, ...], int] = {}
    for term in terms:
        axes = tuple(sorted(term.axes))
        total[axes] = total.get(axes, 0) + term.coefficient
    return tuple(Term(coefficient, axes) for axes, coefficient in total.items())


def parameter_terms(shapes: Mapping[str, Sequence[int]], cuts: Iterable[Cut], axes: Sequence[Axis]) -> tuple[Term, ...]:
    """The parameter count as a polynomial, read off the cuts: a cut dimension becomes units x copies."""
    sizes = {axis.name: axis.size for axis in axes}
    cut_dims: dict[str, dict[int, Cut]] = {}
    for cut in cuts:
        cut_dims.setdefault(cut.param, {})[cut.dim] = cut
    terms = []
    for name, shape in shapes.items():
        coefficient, names = 1, []
        for dim, length in enumerate(shape):
            found = cut_dims.get(name, {}).get(dim)
            if found is None or found.per_head:
                coefficient *= length
                continue
            if length != sizes[found.axis].units * found.copies:
                raise ValueError(f"{name} dim {dim} is {length}, not {found.copies} x {sizes[found.axis].units} units")
            coefficient *= found.copies
            names.append(found.axis)
        terms.append(Term(coefficient, tuple(names)))
    return merge(terms)
