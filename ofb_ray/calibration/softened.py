"""The start of a search: the budget's knapsack over measured sensitivities, softened into probabilities.

p = softmax(-(Delta + mu cost) / T), one axis at a time; mu is such that the expected cost is the aim (the Lagrangian
dual of the projection onto the budget). Shape suffixes: I head choices, J width choices, N = I x J candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ofb_ray.method.axis import Axis, Width
from ofb_ray.method.cost import Term, axis_of, cost, heads_of, units_of

_HALVINGS, _SWEEPS, _STEEPEST = 30, 4, 1e6


def temperature_of(deltas: Mapping[str, Tensor], axes: Sequence[Axis], chosen: Mapping[str, Width]) -> float:
    """Return the mean Delta of the axes that a network cuts, in nats: the scale on which sizes are alike or not.

    Args:
        deltas: per axis (I, J) in nats.
        chosen: the network.
    """
    paid = [
        float(deltas[axis.name].flatten()[axis.candidates.index(chosen[axis.name])])
        for axis in axes
        if axis.name in deltas and chosen[axis.name] != axis.size
    ]
    return max(sum(paid) / max(1, len(paid)), 1e-6)


def softened(
    terms: tuple[Term, ...], axes: Sequence[Axis], deltas: Mapping[str, Tensor], aim: float, temperature: float
) -> dict[str, Tensor]:
    """Return log p (I, J) of every axis with a choice, so that the expected cost is `aim`; -inf of repeated sizes.

    Args:
        terms: the cost as a polynomial.
        deltas: per axis with a choice (I, J) in nats.
        aim: expected cost, in the unit of the terms. One that no price reaches is approached.
        temperature: T in nats.
    """
    free = [_Free(axis, terms, deltas[axis.name]) for axis in axes if axis.name in deltas]
    full = {name: torch.tensor(float(size)) for name, size in units_of({axis.name: axis.size for axis in axes}).items()}
    dense = float(cost(terms, full))

    def priced(price: float) -> tuple[list[Tensor], float]:
        """The fixed point at a price in nats for the whole dense cost: an axis' own share depends on the others'."""
        values = dict(full)
        for _ in range(_SWEEPS):
            logs = [axis.log_p(values, price / dense, temperature) for axis in free]
            for axis, log_p_N in zip(free, logs, strict=True):
                values |= axis.expected(log_p_N.exp())
        return logs, float(cost(terms, values))

    # A price below 0 is one on savings: without any, soft probabilities may cost less than the aim.
    side = temperature if priced(0.0)[1] > aim else -temperature
    low, high = 0.0, side
    while (priced(high)[1] > aim) == (side > 0) and abs(high) < _STEEPEST * temperature:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if (priced(middle)[1] > aim) == (side > 0) else (low, middle)
    found = priced(high)[0]
    return {axis.name: log_p_N.view_as(deltas[axis.name]).float() for axis, log_p_N in zip(free, found, strict=True)}


class _Free:
    """An axis with a choice: what its candidates cost and what they change."""

    def __init__(self, axis: Axis, terms: Sequence[Term], delta_IJ: Tensor) -> None:
        self.name = axis.name
        # A size that stands there twice is no second candidate.
        self._delta_N = delta_IJ.flatten().double().masked_fill(~torch.tensor(axis.distinct), torch.inf)
        self._terms = [term for term in terms if axis.name in map(axis_of, term.variables)]
        sizes = torch.tensor([(size.units, size.heads) for size in axis.candidates], dtype=torch.float64)
        self._values = {axis.name: sizes[:, 0], heads_of(axis.name): sizes[:, 1]}

    def log_p(self, values: Mapping[str, Tensor], price: float, temperature: float) -> Tensor:
        """Log p (N,), all other axes at their expected values; `price` in nats for a unit of cost."""
        cost_N = cost(self._terms, {**values, **self._values})
        return torch.log_softmax(-(self._delta_N + price * cost_N) / temperature, 0)

    def expected(self, p_N: Tensor) -> dict[str, Tensor]:
        """The expected value of each of its variables."""
        return {name: p_N @ value_N for name, value_N in self._values.items()}
