"""The expected cost of a network whose axes are undecided, all parts of it in a few operators.

Shape suffixes: V variables (units and heads of all axes, then a one), T terms, K variables of the longest term, N all
candidates of all undecided axes with the padding of their batches, R candidates of one axis.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ofb_ray.method.axis import Width, Widths
from ofb_ray.method.chain import cost_tables
from ofb_ray.method.cost import Part, Table, Term, heads_of, units_of
from ofb_ray.search.axis_batch import AxisBatch


@dataclass(frozen=True)
class _Polynomial:
    """The terms of a cost: the places of each one's variables, padded with the one, and its coefficient."""

    place_KT: Tensor
    coefficient_T: Tensor

    def expected(self, value_V: Tensor) -> Tensor:
        value_KT = value_V.index_select(0, self.place_KT.flatten()).view_as(self.place_KT)
        # Not `prod`: its gradient asks the device whether a factor is zero, and waits for the answer.
        product_T = self.coefficient_T
        for value_T in value_KT.unbind():
            product_T = product_T * value_T
        return product_T.sum()


@dataclass(frozen=True)
class _Bilinear:
    """The tables of a cost: a constant, what each candidate costs, and of some axes what it costs with each other one.

    Args:
        cost_N: of single candidates.
        places: of the rows of `pairs` in N.
        pairs: of each axis that leads a pair, (R, N).
    """

    constant: float
    cost_N: Tensor
    places: tuple[Tensor, ...]
    pairs: tuple[Tensor, ...]

    def expected(self, p_N: Tensor) -> Tensor:
        total = self.constant + self.cost_N @ p_N
        for place_R, cost_RN in zip(self.places, self.pairs, strict=True):
            total = total + p_N.index_select(0, place_R) @ (cost_RN @ p_N)
        return total


class Costing(nn.Module):
    """Evaluates costs at expected sizes.

    Args:
        widths: the current size of every axis, which is that of the decided ones.
        batches: the undecided axes.
    """

    fixed: Tensor

    def __init__(self, widths: Widths, batches: Sequence[AxisBatch]) -> None:
        super().__init__()
        names: list[str] = []
        for batch in batches:
            names += [axis.name for axis in batch.axes] + [heads_of(axis.name) for axis in batch.axes]
        self._widths, self._batches = dict(widths), tuple(batches)
        fixed = {name: value for name, value in units_of(widths).items() if name not in set(names)}
        self.places = {name: place for place, name in enumerate((*names, *fixed))}
        self.register_buffer("fixed", torch.tensor([*fixed.values(), 1], dtype=torch.float32), persistent=False)
        self._plans: dict[tuple[Part, ...], tuple[torch.device, _Polynomial | None, _Bilinear | None]] = {}

    def forward(self, terms: tuple[Part, ...], padded: Sequence[Tensor]) -> Tensor:
        """Compute the expected cost, a scalar.

        Args:
            terms: the cost.
            padded: p (A, I, J) of each batch.
        """
        polynomial, bilinear = self._plan(terms)
        total = self.fixed.new_zeros(())
        if polynomial is not None:
            sizes = [batch.expected_sizes(p_AIJ) for batch, p_AIJ in zip(self._batches, padded, strict=True)]
            total = polynomial.expected(torch.cat([*(part for pair in sizes for part in pair), self.fixed]))
        if bilinear is not None:
            total = total + bilinear.expected(torch.cat([self.fixed[:0], *(p_AIJ.flatten() for p_AIJ in padded)]))
        return total

    def _plan(self, terms: tuple[Part, ...]) -> tuple[_Polynomial | None, _Bilinear | None]:
        """Lay a cost out for `forward`; made once a device."""
        found = self._plans.get(terms)
        if found is None or found[0] != self.fixed.device:
            polynomial = self._polynomial([term for term in terms if isinstance(term, Term)])
            found = self.fixed.device, polynomial, self._bilinear([term for term in terms if isinstance(term, Table)])
            self._plans[terms] = found
        return found[1:]

    def _polynomial(self, terms: Sequence[Term]) -> _Polynomial | None:
        if not terms:
            return None
        longest = max(len(term.variables) for term in terms)
        one = len(self.places)
        rows = [[self.places[name] for name in term.variables] for term in terms]
        place_TK = torch.tensor([row + [one] * (longest - len(row)) for row in rows]).view(-1, longest)
        coefficient_T = self.fixed.new_tensor([term.coefficient for term in terms])
        return _Polynomial(place_TK.mT.contiguous().to(self.fixed.device), coefficient_T)

    def _bilinear(self, tables: Sequence[Table]) -> _Bilinear | None:
        if not tables:
            return None
        places, count = self._candidate_places()
        candidates: dict[str, Sequence[Width]] = {name: [size] for name, size in self._widths.items()}
        candidates |= {axis.name: axis.candidates for batch in self._batches for axis in batch.axes}
        constant, cost_N = 0.0, np.zeros(count)
        pairs: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((0, count)))
        for axes, values in cost_tables(tables, candidates).items():
            known = values.astype(np.float64).squeeze(tuple(at for at, axis in enumerate(axes) if axis not in places))
            match [axis for axis in axes if axis in places]:
                case []:
                    constant += float(known)
                case [axis]:
                    cost_N[places[axis]] += known
                case [first, second]:
                    if first not in pairs:
                        pairs[first] = np.zeros((len(places[first]), count))
                    pairs[first][:, places[second]] += known
        return _Bilinear(
            constant,
            self.fixed.new_tensor(cost_N),
            tuple(torch.tensor(places[axis], device=self.fixed.device) for axis in pairs),
            tuple(self.fixed.new_tensor(cost_RN) for cost_RN in pairs.values()),
        )

    def _candidate_places(self) -> tuple[dict[str, list[int]], int]:
        """The places of each undecided axis' candidates among those of all batches with their padding; how many."""
        places, start = dict[str, list[int]](), 0
        for batch in self._batches:
            rows, columns = batch.candidates
            for axis in batch.axes:
                heads, widths = range(len(axis.head_choices)), range(len(axis.width_choices))
                places[axis.name] = [start + row * columns + column for row in heads for column in widths]
                start += rows * columns
        return places, start
