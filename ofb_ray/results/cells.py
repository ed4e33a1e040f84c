"""Cells of a sweep: budget, grid values and seed of its exhaustive part, as keys and as short text."""

from __future__ import annotations

import json
from typing import Any

from ofb_ray.config import Budget, Json, SweepSpec


def cell_key(cell: Json) -> str:
    """Return a text that is equal for equal cells, of a spec or of a trial.json."""
    return json.dumps(plain_cell(cell), sort_keys=True)


def plain_cell(cell: Json) -> Json:
    """Return a cell as trial.json holds it."""
    budget = cell["budget"]
    return {**cell, "budget": budget.model_dump(exclude_none=True) if isinstance(budget, Budget) else budget}


def cell_of(spec: SweepSpec, number: int) -> Json:
    """Return the cell of trial `number` of a sweep that starts: cells take turns, so that each gets its share.

    Raises:
        IndexError: there are not so many trials.
    """
    cells = [(cell, spec.wanted(cell)) for cell in spec.cells]
    for turn in range(max(wanted for _, wanted in cells)):
        lacking = [cell for cell, wanted in cells if wanted > turn]
        if number < len(lacking):
            return lacking[number]
        number -= len(lacking)
    raise IndexError(f"trial {number} beyond the sweep's end")


def trial_total(spec: SweepSpec) -> int:
    """Count the trials of a sweep that starts, promoted ones left out."""
    return sum(spec.wanted(cell) for cell in spec.cells)


def cell_label(cell: Json) -> str:
    """Return a spec's cell without its seed as short text: `0.5`, or `0.5, search.mask=both` where there is a grid."""
    grid = [f"{key}={_short(value)}" for key, value in cell.items() if key not in ("budget", "seed")]
    return ", ".join([cell["budget"].label, *grid])


def params_label(params: Json) -> str:
    """Return explored values as short text; a key's last part is enough for a reader."""
    return " ".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in params.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
