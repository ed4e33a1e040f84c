"""`python -m analysis.tables RESULTS... [--table NAME] [--out DIR]`: the paper's tables, published beside ours."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from analysis.load import Results, read
from analysis.output import answer, default_out, save
from analysis.paper.ablations import QUESTIONS, ablation_table
from analysis.paper.layout import PaperTable, as_csv, latex, markdown
from analysis.paper.rows import main_table, search_cost_table, swin_table, transfer_table
from ofb_ray.errors import InputError

BUILDERS: dict[str, Callable[[Results], PaperTable]] = {
    "main": main_table,
    "swin": swin_table,
    "search-cost": search_cost_table,
    "transfer": transfer_table,
    **{name: partial(ablation_table, name) for name in QUESTIONS},
}


def tables(results: Results, name: str | None = None) -> list[PaperTable]:
    """The table of this name, or every table for which the results have a row.

    Raises:
        InputError: there is no such table.
    """
    if name is not None:
        if name not in BUILDERS:
            raise InputError(f"there is no table {name!r}; there are {', '.join(BUILDERS)}", key="--table")
        return [BUILDERS[name](results)]
    return [table for build in BUILDERS.values() if (table := build(results)).measured]


def files(found: Sequence[PaperTable]) -> dict[str, bytes]:
    """`table-NAME.md`, `.tex` and `.csv` of each table."""
    made: dict[str, str] = {}
    for table in found:
        stem = f"table-{table.name}"
        made |= {f"{stem}.md": markdown(table), f"{stem}.tex": latex(table), f"{stem}.csv": as_csv(table)}
    return {name: text.encode() for name, text in made.items()}


def analyse(folders: Sequence[str | Path], name: str | None = None, out: str | Path | None = None) -> str:
    """Write the tables of these results and return them as Markdown; by default into `analysis` of the folder.

    Raises:
        InputError: no results folder, no such table, or the files cannot be written.
    """
    results = read(folders)
    found = tables(results, name)
    if not found:
        state = "nothing is measured yet" if results.trials else "there is no trial yet"
        return f"{results.name}: {state}. --table shows a table's published rows: {', '.join(BUILDERS)}"
    place, written = out or default_out(folders, results), files(found)
    save(written, place)
    return "\n".join([*map(markdown, found), f"In {place}: {', '.join(written)}"])


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: 0, or 2 with one line on stderr for bad input."""
    parser = argparse.ArgumentParser(prog="python -m analysis.tables", description=__doc__)
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results folders or their URIs")
    parser.add_argument("--table", metavar="NAME", help=f"one of {', '.join(BUILDERS)}; default: all that have rows")
    parser.add_argument("--out", metavar="DIR", help="folder or URI for the files (default: RESULTS/analysis)")
    arguments = parser.parse_args(argv)
    return answer(lambda: analyse(arguments.results, arguments.table, arguments.out))


if __name__ == "__main__":
    sys.exit(main())
