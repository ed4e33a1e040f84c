"""Record importance, sparsity and probabilities of every axis over the epochs of a search, in one small file.

Cuts renumber the units that they leave, so the trace keeps the index of each surviving unit in the network that the
search started from: the dense one, or in a chain what the budget above has left. It
takes no part in the search: nothing reads it there, and nothing random is drawn for it.

Shape suffixes: T snapshots, A axes, U units of all axes in a row, P candidates of all axes in a row.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofb_ray.method.axis import Axis, Keep
from ofb_ray.method.bimask import Gate, importance
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.files import TRACE_FILE
from ofb_ray.search.supernet import Supernet

FORMAT = 1
SNAPSHOTS = 50
CUT = 255
# S and V lie in [0, 1]; a gate is free, starts in there, and is kept up to 2.
UNIT_SCALE, GATE_SCALE = 254, 127


class Trace:
    """Takes snapshots of one search, over the units and candidates that it starts with.

    Args:
        axes: before any cut.
        epochs: of the search; a snapshot is taken before the first, after the last, and after at most `SNAPSHOTS`.
        state: what `state` returned, to go on from there.
    """

    def __init__(self, axes: Sequence[Axis], epochs: int, state: Mapping[str, Any] | None = None) -> None:
        self.axes = tuple(axes)
        points = min(SNAPSHOTS, epochs)
        self._due = {0} | {-(-epochs * point // points) for point in range(1, points + 1)}
        self._units = np.cumsum([0, *(axis.full.units for axis in self.axes)]).tolist()
        self._sizes = np.cumsum([0, *(len(axis.candidates) for axis in self.axes)]).tolist()
        # Index at the start of each living unit, by axis.
        self._positions = {axis.name: torch.arange(axis.full.units) for axis in self.axes}
        self._rows: list[tuple[int, float, Tensor, Tensor, Tensor]] = []
        self._decided = torch.full((len(self.axes),), -1)
        if state is not None:
            self._positions, self._decided = dict(state["positions"]), state["decided"].clone()
            tensors = (state["score"], state["sparsity"], state["p"])
            self._rows = list(zip(state["epoch"], state["lam"], *tensors, strict=True))

    def cut(self, keeps: Mapping[str, Keep]) -> None:
        """Follow a cut.

        Args:
            keeps: the units that survived it, by axis, of the axes that lost some.
        """
        for name, keep in keeps.items():
            self._positions[name] = self._positions[name][keep.units_U.cpu()]

    def take(self, net: Supernet, epoch: int, lam: float) -> None:
        """Take a snapshot if one is due; a second one of the same epoch replaces the first.

        Args:
            epoch: epochs done.
            lam: lambda of the bi-mask.
        """
        if epoch not in self._due:
            return
        if self._rows and self._rows[-1][0] == epoch:
            self._rows.pop()
        score_U = torch.full((self._units[-1],), CUT, dtype=torch.uint8)
        sparsity_U, p_P = score_U.clone(), torch.zeros(self._sizes[-1])
        values_U, stairs_U, chances_P = (tensor.cpu() for tensor in _values(net, self.axes))
        positions_U = torch.cat([self._positions[axis.name] + self._units[at] for at, axis in enumerate(self.axes)])
        score_U[positions_U], sparsity_U[positions_U] = _byte(values_U), _byte(stairs_U * UNIT_SCALE)
        p_P[torch.cat([at + torch.tensor(left) for at, left in self._left(net)])] = chances_P
        for number, axis in enumerate(self.axes):
            if self._decided[number] < 0 and isinstance(net.mask(axis.name), Gate):
                self._decided[number] = len(self._rows)
        self._rows.append((epoch, lam, score_U, sparsity_U, p_P.half()))

    def state(self) -> dict[str, Any]:
        """Return all of it as plain containers, for a checkpoint."""
        epochs, lams, *rows = zip(*self._rows, strict=True)
        score, sparsity, p = (torch.stack(list(row)) for row in rows)
        facts = {"epoch": list(epochs), "lam": list(lams), "score": score, "sparsity": sparsity, "p": p}
        return {**facts, "positions": dict(self._positions), "decided": self._decided.clone()}

    def _left(self, net: Supernet) -> list[tuple[int, list[int]]]:
        """List for each axis where its candidates start among all, and which of the dense network's are left."""
        return [
            (start, _places(axis, net.backbone.axis(axis.name)))
            for start, axis in zip(self._sizes, self.axes, strict=False)
        ]


def _places(dense: Axis, left: Axis) -> list[int]:
    """Which candidates of the dense axis are left, by their choices: without heads several have one size."""
    columns = [dense.width_choices.index(width) for width in left.width_choices]
    rows = [dense.head_choices.index(heads) for heads in left.head_choices]
    return [row * len(dense.width_choices) + column for row in rows for column in columns]


def _values(net: Supernet, axes: Sequence[Axis]) -> tuple[Tensor, Tensor, Tensor]:
    """Return S or the gate times its scale, and V, of the living units (U,), and p of the candidates left (P,)."""
    scores, stairs, chances = [], [], []
    with torch.no_grad():
        for axis in axes:
            mask = net.mask(axis.name)
            if isinstance(mask, Gate):
                scores.append(mask.gate_U.abs() * GATE_SCALE)
                stairs.append(torch.ones_like(mask.gate_U))
                chances.append(mask.gate_U.new_ones(1))
            else:
                p_IJ = mask.probabilities()
                scores.append(importance(mask.score_U) * UNIT_SCALE)
                stairs.append(mask(p_IJ, 0.0, "sparsity"))
                chances.append(p_IJ.flatten())
        return torch.cat(scores).float(), torch.cat(stairs).float(), torch.cat(chances).float()


def _byte(values: Tensor) -> Tensor:
    return values.round().clamp(0, CUT - 1).to(torch.uint8)


def write(folder: Path, axes: Sequence[Axis], state: Mapping[str, Any]) -> None:
    """Write `folder`/search.npz, atomically; readable by numpy without pickles.

    Arrays, units and candidates in the order of the axes, axis after axis, as at the search's start:
        format; axis (A,) names; kind (A,) embedding, attention or mlp; heads, width (A,): the dense size;
        epoch (T,), lam (T,): epochs done and lambda; decided (A,): the snapshot from which an axis is decided, or -1;
        score (T, U) uint8: 254 S rounded, from `decided` on 127 |gate| rounded and at most 254; 255 where it is cut;
        sparsity (T, U) uint8: 254 V rounded, 254 where it is decided; 255 where it is cut;
        p (T, P) float16: probabilities, 0 for a dead candidate; heads vary slowest;
        candidate_heads, candidate_width, candidate_axis (P,): the candidates, and the number of the axis they are of.
    """
    sizes = [(number, *size) for number, axis in enumerate(axes) for size in axis.candidates]
    of_axis, heads, width = np.array(sizes, dtype=np.int32).reshape(-1, 3).T
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        format=np.int32(FORMAT),
        axis=np.array([axis.name for axis in axes]),
        kind=np.array([axis.kind for axis in axes]),
        heads=np.array([axis.full.heads for axis in axes], dtype=np.int32),
        width=np.array([axis.full.width for axis in axes], dtype=np.int32),
        epoch=np.array(state["epoch"], dtype=np.int32),
        lam=np.array(state["lam"], dtype=np.float32),
        decided=state["decided"].numpy().astype(np.int32),
        score=state["score"].numpy(),
        sparsity=state["sparsity"].numpy(),
        p=state["p"].numpy(),
        candidate_axis=of_axis,
        candidate_heads=heads,
        candidate_width=width,
    )
    write_atomic(folder / TRACE_FILE, buffer.getvalue())
