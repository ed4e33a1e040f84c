"""The bi-masks of many axes at once, padded to one grid: a few operators where each axis alone would take many.

An operator costs a GPU a launch, whatever its size: axis by axis, the masks of a DeiT-S were four fifths of the
launches of a search step.

Shape suffixes: A axes, N candidates and M units of all axes in a row, without padding; the others as in `bimask`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from ofb_ray.method.axis import Axis, ranks
from ofb_ray.method.bimask import BiMask, MaskMode, bimask, importance, staircase, steps


class AxisBatch(nn.Module):
    """Computes for a batch of axes what `BiMask` computes for one. Holds no parameters: the masks are passed in.

    Args:
        axes: with a choice each. Axes of very different shapes pad each other: keep them in batches of their own.
    """

    candidate_N: Tensor
    unit_M: Tensor
    no_head_AH: Tensor
    row_AH: Tensor
    head_steps_AIH: Tensor
    width_steps_AJD: Tensor
    heads_AI: Tensor
    units_AIJ: Tensor

    def __init__(self, axes: Sequence[Axis]) -> None:
        super().__init__()
        self.axes = tuple(axes)
        head_steps = [steps(axis.head_choices) for axis in axes]
        width_steps = [steps(axis.width_choices) for axis in axes]
        choices = [(len(axis.head_choices), len(axis.width_choices)) for axis in axes]
        grids = [(axis.head_choices[-1], axis.width_choices[-1]) for axis in axes]
        self.candidates, self.units = _largest(choices), _largest(grids)
        self.unit_counts = [heads * width for heads, width in grids]
        heads, width = self.units
        buffers = {
            "candidate_N": _positions(choices, self.candidates),
            "unit_M": _positions(grids, self.units),
            "no_head_AH": torch.arange(heads) >= torch.tensor([grid[0] for grid in grids])[:, None],
            # The first position of head h of axis a among the units of all axes, by rank.
            "row_AH": torch.arange(len(axes))[:, None] * heads * width,
            "head_steps_AIH": torch.stack([_padded(each, (self.candidates[0], heads)) for each in head_steps]),
            "width_steps_AJD": torch.stack([_padded(each, (self.candidates[1], width)) for each in width_steps]),
        }
        buffers["heads_AI"] = buffers["head_steps_AIH"].sum(dim=2)
        buffers["units_AIJ"] = buffers["heads_AI"][:, :, None] * buffers["width_steps_AJD"].sum(dim=2)[:, None]
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def probabilities(self, masks: Sequence[BiMask]) -> Tensor:
        """p (A, I, J) of the axes' masks; exactly 0 at dead candidates and in the padding."""
        alpha_N = torch.cat([mask.alpha_IJ.flatten() for mask in masks])
        alive_N = torch.cat([mask.alive_IJ.flatten() for mask in masks])
        logits = _spread(alpha_N.masked_fill(~alive_N, -torch.inf), self.candidate_N, self._shape(self.candidates))
        return logits.flatten(1).softmax(dim=1).view_as(logits)

    def unit_masks(self, masks: Sequence[BiMask], p_AIJ: Tensor, lam: float, mode: MaskMode) -> Tensor:
        """Compute the mask m (M,) of every unit of every axis; `unit_counts` says how many each axis has.

        Args:
            masks: of the axes.
            p_AIJ: as `probabilities` returns them.
            lam: lambda in [0, 1].
            mode: which parts of the bi-mask to use.
        """
        score_M = torch.cat([mask.score_U for mask in masks])
        by_rank_AHD = staircase(p_AIJ, self.head_steps_AIH, self.width_steps_AJD)
        sparsity_M = by_rank_AHD.flatten().index_select(0, self._rank_positions(score_M.detach()))
        return bimask(importance(score_M), sparsity_M, lam, mode)

    def expected_sizes(self, p_AIJ: Tensor) -> tuple[Tensor, Tensor]:
        """Compute E[n c] in units and E[n] in heads under p, (A,) each."""
        return (p_AIJ * self.units_AIJ).sum(dim=(1, 2)), (p_AIJ.sum(dim=2) * self.heads_AI).sum(dim=1)

    def _rank_positions(self, score_M: Tensor) -> Tensor:
        """Give the place of every unit among the units by rank, flattened: (M,); ranks as `rank_units` has them."""
        score_AHD = _spread(score_M, self.unit_M, self._shape(self.units))
        head_AH = score_AHD.sigmoid().sum(dim=2).masked_fill(self.no_head_AH, -torch.inf)
        place_AH = self.row_AH + ranks(head_AH) * self.units[1]
        return (place_AH[:, :, None] + ranks(score_AHD)).flatten().index_select(0, self.unit_M)

    def _shape(self, grid: tuple[int, int]) -> tuple[int, int, int]:
        return len(self.axes), *grid


class Probabilities(Mapping[str, Tensor]):
    """p (I, J) of every undecided axis, by name; `padded` has them as the batches computed them.

    Args:
        batches: of all undecided axes.
        padded: p (A, I, J) of each batch.
    """

    def __init__(self, batches: Sequence[AxisBatch], padded: Sequence[Tensor]) -> None:
        self.padded = tuple(padded)
        self._rows = {
            axis.name: (p_AIJ[row], len(axis.head_choices), len(axis.width_choices))
            for batch, p_AIJ in zip(batches, padded, strict=True)
            for row, axis in enumerate(batch.axes)
        }

    def __getitem__(self, name: str) -> Tensor:
        p_IJ, heads, widths = self._rows[name]
        return p_IJ[:heads, :widths]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def batched(axes: Sequence[Axis]) -> list[AxisBatch]:
    """Put the axes into batches of like shapes: those of one head, which are wide, and those of several."""
    plain = [axis for axis in axes if axis.head_choices[-1] <= 1]
    headed = [axis for axis in axes if axis.head_choices[-1] > 1]
    return [AxisBatch(part) for part in (plain, headed) if part]


def _largest(grids: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return max(rows for rows, _ in grids), max(columns for _, columns in grids)


def _positions(grids: Sequence[tuple[int, int]], largest: tuple[int, int]) -> Tensor:
    """Give the place of each cell of each grid, in order, in the flattened stack of padded grids."""
    places = torch.arange(len(grids) * largest[0] * largest[1]).view(-1, *largest)
    return torch.cat([places[at, :rows, :columns].flatten() for at, (rows, columns) in enumerate(grids)])


def _padded(value: Tensor, shape: tuple[int, int]) -> Tensor:
    grown = value.new_zeros(shape)
    grown[: value.shape[0], : value.shape[1]] = value
    return grown


def _spread(values: Tensor, positions: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Put values at their positions in a padded stack; the padding is -inf."""
    empty = values.new_full((shape[0] * shape[1] * shape[2],), -torch.inf)
    return empty.index_put((positions,), values).view(shape)
