"""Axes: what may shrink, and what shrinks with it.

Shape suffixes: H heads, D channels per head, U = H x D units of one axis (H = 1 for a plain width).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Kind = Literal["embedding", "attention", "mlp"]


class Width(NamedTuple):
    """A size of `heads` x `width` units.

    Args:
        heads: number of heads; 1 for a plain width.
        width: units in each head.
    """

    heads: int
    width: int

    @property
    def units(self) -> int:
        return self.heads * self.width


Widths = Mapping[str, Width]


@dataclass(frozen=True)
class Axis:
    """An H x D grid of units and the sizes it may take.

    Args:
        name: the module that owns it (`embed`, `blocks.3.attn`, ...).
        kind: which loss and which score penalty apply.
        head_choices: candidate numbers of heads, ascending, from 0 on; the last is the current one.
        width_choices: candidate numbers of units per head, ascending, from 0 on; the last is the current one.
        full: the size in the dense network; attention keeps the softmax scale of `full.width`.
    """

    name: str
    kind: Kind
    head_choices: tuple[int, ...]
    width_choices: tuple[int, ...]
    full: Width

    @property
    def size(self) -> Width:
        """The current (largest) size."""
        heads = self.head_choices[-1]
        return Width(heads, self.width_choices[-1] * (heads > 0))

    @property
    def candidates(self) -> list[Width]:
        """All sizes, heads varying slowest: the order of alpha, flattened. Without heads there is no width either."""
        return [Width(heads, width * (heads > 0)) for heads in self.head_choices for width in self.width_choices]

    @property
    def distinct(self) -> list[bool]:
        """Whether each candidate is the first of its size: without heads all widths are one size, of no units."""
        return [heads > 0 or not column for heads in self.head_choices for column in range(len(self.width_choices))]

    def living(self, alive_IJ: Tensor) -> list[Width]:
        """List the candidates whose flag is True.

        Args:
            alive_IJ: (head choices, width choices) bool.
        """
        return [size for size, alive in zip(self.candidates, alive_IJ.flatten().tolist(), strict=True) if alive]

    def restricted(self, rows: Tensor, columns: Tensor) -> Axis:
        """Keep some of the choices.

        Args:
            rows: indices into `head_choices`, ascending.
            columns: indices into `width_choices`, ascending.
        """
        heads = tuple(self.head_choices[row] for row in rows.tolist())
        return replace(self, head_choices=heads, width_choices=tuple(self.width_choices[c] for c in columns.tolist()))


@dataclass(frozen=True)
class Cut:
    """Dimension `dim` of parameter `param` is indexed by the units of `axis`.

    Args:
        param: name of the parameter.
        dim: its dimension.
        axis: name of the axis.
        copies: the units stand there that often in a row (3 in a fused qkv).
        per_head: the dimension counts heads, not units.
        gate: this tensor makes the units, so the mask scales it along `dim`.
        query: the first copy is a query: it carries the correction of the softmax scale.
        norm: this is a layer norm's weight over the axis: it carries the correction of the norm's statistics.
    """

    param: str
    dim: int
    axis: str
    copies: int = 1
    per_head: bool = False
    gate: bool = False
    query: bool = False
    norm: bool = False


@dataclass(frozen=True)
class Keep:
    """Units that survive, as indices into the axis before the cut.

    Args:
        heads_H: kept heads, ascending, (kept heads,).
        units_U: kept units, (kept units,), as flat indices h * D + d; head after head, channels ascending, as many in
            each head.
        before: the size that the indices refer to.
    """

    heads_H: Tensor
    units_U: Tensor
    before: Width

    def index(self, cut: Cut) -> Tensor:
        """Give the kept indices along the dimension of `cut`."""
        units = [self.units_U + copy * self.before.units for copy in range(cut.copies)]
        return self.heads_H if cut.per_head else torch.cat(units)


def rank_units(score_U: Tensor, size: Width) -> tuple[Tensor, Tensor]:
    """Rank by importance, 0 = most important: heads by the sum of sigmoid(score), then channels inside each head.

    Args:
        score_U: raw scores s, (H x D,).
        size: H heads of D channels.
    Returns:
        head ranks (H,) and channel ranks (H, D). Ties keep the order of the units.
    """
    score_HD = score_U.detach().view(size.heads, size.width)
    head_rank_H = ranks(score_HD.sigmoid().sum(dim=1))
    return head_rank_H, ranks(score_HD)


def keep_best(score_U: Tensor, before: Width, after: Width) -> Keep:
    """Keep the best heads and the best channels of each (released code's order).

    Args:
        score_U: raw scores s, (units before,).
        before: the size that `score_U` has.
        after: the size to keep.
    """
    head_rank_H, channel_rank_HD = rank_units(score_U, before)
    heads_H = (head_rank_H < after.heads).nonzero().flatten()
    rows, channels = (channel_rank_HD[heads_H] < after.width).nonzero(as_tuple=True)
    return Keep(heads_H, heads_H[rows] * before.width + channels, before)


def shrink(tensor: Tensor, indices: Sequence[tuple[int, Tensor]]) -> Tensor:
    """Select indices along dimensions: the one cut for weights and for Adam moments alike.

    Args:
        tensor: of any shape.
        indices: pairs (dimension, kept indices along it).
    """
    for dim, index in indices:
        tensor = tensor.index_select(dim, index.to(tensor.device))
    return tensor


def ranks(value: Tensor) -> Tensor:
    """Rank along the last dimension, 0 = largest; ties keep their order."""
    order = value.argsort(dim=-1, descending=True, stable=True)
    places = torch.arange(value.shape[-1], device=value.device)
    return torch.empty_like(order).scatter_(-1, order, places.expand_as(order))
