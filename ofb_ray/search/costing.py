"""The expected cost of a network whose axes are undecided, all terms of its polynomial in a few operators.

Shape suffixes: V variables (units and heads of all axes, then a one), T terms, K variables of the longest term.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ofb_ray.method.axis import Widths
from ofb_ray.method.cost import Term, heads_of, units_of
from ofb_ray.search.axis_batch import AxisBatch

_Plan = tuple[Tensor, Tensor]


class Costing(nn.Module):
    """Evaluates cost polynomials at expected sizes.

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
        fixed = {name: value for name, value in units_of(widths).items() if name not in set(names)}
        self.places = {name: place for place, name in enumerate((*names, *fixed))}
        self.register_buffer("fixed", torch.tensor([*fixed.values(), 1], dtype=torch.float32), persistent=False)
        self._plans: dict[tuple[Term, ...], _Plan] = {}

    def forward(self, terms: tuple[Term, ...], sizes: Sequence[Tensor]) -> Tensor:
        """Compute sum_t coefficient_t prod_v E[v], a scalar.

        Args:
            terms: the polynomial.
            sizes: expected units and heads of each batch, as `AxisBatch.expected_sizes` has them, one after the other.
        """
        value_V = torch.cat([*sizes, self.fixed])
        place_KT, coefficient_T = self._plan(terms)
        value_KT = value_V.index_select(0, place_KT.flatten()).view_as(place_KT)
        # Not `prod`: its gradient asks the device whether a factor is zero, and waits for the answer.
        product_T = coefficient_T
        for value_T in value_KT.unbind():
            product_T = product_T * value_T
        return product_T.sum()

    def _plan(self, terms: tuple[Term, ...]) -> _Plan:
        """Give the places of each term's variables, padded with the one, and its coefficient; made once a device."""
        found = self._plans.get(terms)
        if found is None or found[0].device != self.fixed.device:
            longest = max(len(term.variables) for term in terms)
            one = len(self.places)
            rows = [[self.places[name] for name in term.variables] for term in terms]
            place_TK = torch.tensor([row + [one] * (longest - len(row)) for row in rows]).view(-1, longest)
            coefficient_T = torch.tensor([term.coefficient for term in terms], dtype=torch.float32)
            found = place_TK.mT.contiguous().to(self.fixed.device), coefficient_T.to(self.fixed.device)
            self._plans[terms] = found
        return found
