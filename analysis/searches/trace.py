"""Read what a search went through: `search.npz` of a trial folder, axis by axis, in the units that it started with.

The file is written by `ofb_ray.search.trace`, which states its format; a trial whose search has not ended has none.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.trials.trial import Trial
from ofb_ray.errors import InputError
from ofb_ray.results.files import TRACE_FILE
from ofb_ray.results.locations import is_uri, join
from ofb_ray.results.store import fetched, readable

FORMAT = 1
_CUT, _UNIT_SCALE, _GATE_SCALE = 255, 254, 127
Array = NDArray[np.float64]


@dataclass(frozen=True)
class AxisTrace:
    """One axis over T snapshots: `heads` x `width` units U at the search's start, and candidates P.

    Args:
        score: (T, U): the importance S in [0, 1], from snapshot `decided` on the size of the gate in [0, 2]; NaN where
            the unit is cut.
        sparsity: (T, U): V in [0, 1]; NaN where the unit is cut.
        candidates: (heads, width) of each.
        p: (T, P): their probabilities.
        decided: the first snapshot after the decision; None where there is none.
    """

    name: str
    kind: str
    heads: int
    width: int
    score: Array
    sparsity: Array
    candidates: tuple[tuple[int, int], ...]
    p: Array
    decided: int | None

    @property
    def living(self) -> NDArray[np.bool_]:
        """(T, U): which units there are."""
        return np.asarray(~np.isnan(self.score))


@dataclass(frozen=True)
class SearchTrace:
    """A search's snapshots: `epoch` (T,) epochs done, `lam` (T,) lambda, and its axes by name."""

    epoch: NDArray[np.int32]
    lam: Array
    axes: dict[str, AxisTrace]


def read_trace(folder: Path) -> SearchTrace | None:
    """Read the trace in a trial folder, or None where there is none.

    Raises:
        InputError: the file is torn, or of another version.
    """
    path = folder / TRACE_FILE
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = dict(file)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        raise InputError("this is no search trace; remove it, or copy it again", file=str(path)) from None
    if int(arrays.get("format", -1)) != FORMAT:
        raise InputError(f"this search trace is not of format {FORMAT}; remove it to go on without", file=str(path))
    return SearchTrace(arrays["epoch"], arrays["lam"].astype(np.float64), _axes(arrays))


def trace_of(trial: Trial, folders: Sequence[str | Path]) -> SearchTrace | None:
    """Read the trial's trace, or None where there is none; of a store it is fetched, because only records are copied.

    Args:
        folders: as the user gave them to `read`.
    Raises:
        InputError: the file is torn, or the store cannot be read.
    """
    folder = trial.folder
    for given in folders:
        if is_uri(str(given)) and readable(given).resolve() == folder.parent.resolve():
            folder = fetched(join(str(given), folder.name), [TRACE_FILE])
    return read_trace(folder)


def _axes(arrays: dict[str, NDArray[Any]]) -> dict[str, AxisTrace]:
    axes, start = {}, 0
    for number, name in enumerate(arrays["axis"].tolist()):
        heads, width, decided = (int(arrays[key][number]) for key in ("heads", "width", "decided"))
        units = slice(start, start := start + heads * width)
        own = arrays["candidate_axis"] == number
        sizes = zip(arrays["candidate_heads"][own].tolist(), arrays["candidate_width"][own].tolist(), strict=True)
        scales = np.full((len(arrays["epoch"]), 1), _UNIT_SCALE, dtype=float)
        if decided >= 0:
            scales[decided:] = _GATE_SCALE
        axes[name] = AxisTrace(
            name=name,
            kind=str(arrays["kind"][number]),
            heads=heads,
            width=width,
            score=_values(arrays["score"][:, units]) / scales,
            sparsity=_values(arrays["sparsity"][:, units]) / _UNIT_SCALE,
            candidates=tuple(sizes),
            p=arrays["p"][:, own].astype(np.float64),
            decided=decided if decided >= 0 else None,
        )
    return axes


def _values(codes: NDArray[Any]) -> Array:
    return np.where(codes == _CUT, np.nan, codes.astype(np.float64))
