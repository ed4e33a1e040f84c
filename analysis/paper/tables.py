"""Build the paper's tables by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from analysis.paper.ablations import QUESTIONS, ablation_table
from analysis.paper.layout import PaperTable
from analysis.paper.rows import main_table, search_cost_table, swin_table, transfer_table
from analysis.trials.trial import Results
from ofb_ray.errors import InputError

BUILDERS: dict[str, Callable[[Results], PaperTable]] = {
    "main": main_table,
    "swin": swin_table,
    "search-cost": search_cost_table,
    "transfer": transfer_table,
    **{name: partial(ablation_table, name) for name in QUESTIONS},
}


def tables(results: Results, name: str | None = None) -> list[PaperTable]:
    """Build the table of this name, or every table for which the results have a row.

    Raises:
        InputError: there is no such table.
    """
    if name is not None:
        if name not in BUILDERS:
            raise InputError(f"there is no table {name!r}; there are {', '.join(BUILDERS)}", key="--table")
        return [BUILDERS[name](results)]
    return [table for build in BUILDERS.values() if (table := build(results)).measured]
