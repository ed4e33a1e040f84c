"""Scale the parameters that make the units of an axis by its mask, all of them in few operators.

Shape suffixes: M units of all axes in a row and a one, L scaled rows of all parameters in a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ofb_ray.backbones.base import Backbone, corrections
from ofb_ray.method.axis import Cut


@dataclass(frozen=True)
class _Scaled:
    """A dimension that is scaled: by which unit each of its rows (M if by none), and by which constant factor."""

    cut: Cut
    rows: Tensor
    factors: Tensor


class Gating(nn.Module):
    """Computes what a network runs with: rows of producing tensors times m, queries and norms corrected.

    Vectors are scaled as one. A larger tensor is scaled by itself: to join them would copy the network.

    Args:
        backbone: at the current widths, from which the corrections follow.
        dims: number of dimensions of every parameter, by name.
    """

    row_L: Tensor
    factor_L: Tensor | None
    one: Tensor

    def __init__(self, backbone: Backbone, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.axes = [axis.name for axis in backbone.axes]
        scaled = list(_scaled(backbone))
        times = Counter(each.cut.param for each in scaled)
        alone = {name for name, dim in dims.items() if dim == 1 and times[name] == 1}
        vectors = [each for each in scaled if each.cut.param in alone]
        others = [each for each in scaled if each.cut.param not in alone]
        self.vectors, self.tensors = [each.cut.param for each in vectors], [each.cut for each in others]
        self.lengths = [len(each.rows) for each in (*vectors, *others)]
        rows = [each.rows for each in (*vectors, *others)]
        factors = torch.cat([each.factors for each in (*vectors, *others)]) if rows else torch.empty(0)
        self.register_buffer("row_L", torch.cat(rows) if rows else torch.empty(0, dtype=torch.long), persistent=False)
        self.register_buffer("factor_L", None if bool((factors == 1.0).all()) else factors, persistent=False)
        self.register_buffer("one", torch.ones(1), persistent=False)

    def forward(self, masks: Mapping[str, Tensor], params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scale the parameters.

        Args:
            masks: m (U,) of every axis.
            params: of the network, by name.
        Returns:
            the parameters that change, by name.
        """
        mask_M = torch.cat([*(masks[name] for name in self.axes), self.one])
        scale_L = mask_M.index_select(0, self.row_L)
        if self.factor_L is not None:
            scale_L = scale_L * self.factor_L
        count = sum(self.lengths[: len(self.vectors)])
        gated = dict(zip(self.vectors, self._scaled_vectors(scale_L[:count], params), strict=True))
        scales = torch.split(scale_L[count:], self.lengths[len(self.vectors) :])
        for cut, scale in zip(self.tensors, scales, strict=True):
            param = gated.get(cut.param, params[cut.param])
            gated[cut.param] = param * scale.view(-1, *[1] * (param.dim() - cut.dim - 1))
        return gated

    def _scaled_vectors(self, scale: Tensor, params: Mapping[str, Tensor]) -> Sequence[Tensor]:
        if not self.vectors:
            return ()
        joined = torch.cat([params[name] for name in self.vectors])
        return torch.split(joined * scale, self.lengths[: len(self.vectors)])


def _scaled(backbone: Backbone) -> list[_Scaled]:
    """List the dimensions that are scaled, in the order of the cuts."""
    first, total = dict[str, int](), 0
    for axis in backbone.axes:
        first[axis.name], total = total, total + axis.size.units
    found = []
    for cut in backbone.cuts:
        axis = backbone.axis(cut.axis)
        factors = corrections(cut, axis.size, axis.full)
        if not cut.gate and set(factors) == {1.0}:
            continue
        units = axis.size.units
        rows = torch.arange(first[cut.axis], first[cut.axis] + units) if cut.gate else torch.full((units,), total)
        found.append(_Scaled(cut, rows.repeat(cut.copies), torch.tensor(factors).repeat_interleave(units)))
    return found
