"""`python -m analysis.tables RESULTS... [--table NAME] [--out DIR]`: the paper's tables, published beside ours."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from analysis.ablations import QUESTIONS, ablation_table
from analysis.load import Results, read
from analysis.paper import main_table, search_cost_table, swin_table, transfer_table
from analysis.papertable import PaperTable, as_csv, latex, markdown
from ofb_ray.errors import InputError
from ofb_ray.outages import explain
from ofb_ray.records import write_atomic
from ofb_ray.storage import Remote, is_uri, join, parent

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


def write(found: Sequence[PaperTable], out: str | Path) -> list[str]:
    """Write `table-NAME.md`, `.tex` and `.csv` of each table, each atomically; the names of the files.

    Raises:
        InputError: the files cannot be written.
    """
    files: dict[str, str] = {}
    for table in found:
        stem = f"table-{table.name}"
        files |= {f"{stem}.md": markdown(table), f"{stem}.tex": latex(table), f"{stem}.csv": as_csv(table)}
    try:
        remote = Remote(str(out)) if is_uri(str(out)) else None
        for name, text in files.items():
            if remote is not None:
                remote.write(name, text.encode())
            else:
                write_atomic(Path(out) / name, text.encode())
    except OSError as error:
        raise InputError(
            f"cannot write here ({error.strerror or explain(error)}); give another folder with --out", file=str(out)
        ) from None
    return list(files)


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
    place = out or _inside(folders[0] if len(results.folders) == 1 else parent(folders[0]))
    files = write(found, place)
    return "\n".join([*map(markdown, found), f"In {place}: {', '.join(files)}"])


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: 0, or 2 with one line on stderr for bad input."""
    parser = argparse.ArgumentParser(prog="python -m analysis.tables", description=__doc__)
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results folders or their URIs")
    parser.add_argument("--table", metavar="NAME", help=f"one of {', '.join(BUILDERS)}; default: all that have rows")
    parser.add_argument("--out", metavar="DIR", help="folder or URI for the files (default: RESULTS/analysis)")
    arguments = parser.parse_args(argv)
    try:
        print(analyse(arguments.results, arguments.table, arguments.out))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _inside(location: str | Path) -> str | Path:
    return join(location, "analysis") if isinstance(location, str) else location / "analysis"


if __name__ == "__main__":
    sys.exit(main())
