"""The start of a search: the budget's knapsack over measured sensitivities, softened into probabilities.

p = softmax(-(Delta + mu cost) / T), one axis at a time; mu is such that the expected cost is the aim (the Lagrangian
dual of the projection onto the budget). Shape suffixes: I head choices, J width choices, N = I x J candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ofb_ray.method.axis import Axis, Width
from ofb_ray.method.chain import cost_tables
from ofb_ray.method.cost import Part

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
    terms: tuple[Part, ...], axes: Sequence[Axis], deltas: Mapping[str, Tensor], aim: float, temperature: float
) -> dict[str, Tensor]:
    """Return log p (I, J) of every axis with a choice, so that the expected cost is `aim`; -inf of repeated sizes.

    Args:
        terms: the cost.
        deltas: per axis with a choice (I, J) in nats.
        aim: expected cost, in the unit of the terms. One that no price reaches is approached.
        temperature: T in nats.
    """
    # A size that stands there twice is no second candidate.
    delta_of = {
        axis.name: deltas[axis.name].flatten().double().masked_fill(~torch.tensor(axis.distinct), torch.inf)
        for axis in axes
        if axis.name in deltas
    }
    expected = _Expected(terms, axes)
    dense = expected.total(expected.full)

    def priced(price: float) -> tuple[dict[str, Tensor], float]:
        """The fixed point at a price in nats for the whole dense cost: an axis' own share depends on the others'."""
        p = dict(expected.full)
        for _ in range(_SWEEPS):
            logs = {
                name: torch.log_softmax(-(delta_N + price / dense * expected.costs(name, p)) / temperature, 0)
                for name, delta_N in delta_of.items()
            }
            p |= {name: log_p_N.exp() for name, log_p_N in logs.items()}
        return logs, expected.total(p)

    # A price below 0 is one on savings: without any, soft probabilities may cost less than the aim.
    side = temperature if priced(0.0)[1] > aim else -temperature
    low, high = 0.0, side
    while (priced(high)[1] > aim) == (side > 0) and abs(high) < _STEEPEST * temperature:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if (priced(middle)[1] > aim) == (side > 0) else (low, middle)
    return {name: log_p_N.view_as(deltas[name]).float() for name, log_p_N in priced(high)[0].items()}


class _Expected:
    """A cost on the candidates of independent axes, each with its probabilities p (N,).

    Args:
        terms: the cost.
        axes: all that it names.
    """

    def __init__(self, terms: Sequence[Part], axes: Sequence[Axis]) -> None:
        candidates = {axis.name: axis.candidates for axis in axes}
        self.full = {name: torch.zeros(len(sizes), dtype=torch.float64) for name, sizes in candidates.items()}
        for p_N in self.full.values():
            p_N[-1] = 1.0
        self._tables = {
            names: torch.from_numpy(np.ascontiguousarray(table)).double()
            for names, table in cost_tables(terms, candidates).items()
        }

    def total(self, p: Mapping[str, Tensor]) -> float:
        """The expected cost."""
        return sum(float(_contracted(table, [p[name] for name in names])) for names, table in self._tables.items())

    def costs(self, axis: str, p: Mapping[str, Tensor]) -> Tensor:
        """What each candidate of an axis is expected to cost in all that the axis takes part in, (N,)."""
        total = torch.zeros_like(p[axis])
        for names, table in self._tables.items():
            if names == (axis,):
                total += table
            elif axis in names:
                first = names[0] == axis
                total += table @ p[names[1]] if first else p[names[0]] @ table
        return total


def _contracted(table: Tensor, probabilities: Sequence[Tensor]) -> Tensor:
    for p_N in probabilities:
        table = torch.tensordot(p_N, table, dims=1)
    return table
