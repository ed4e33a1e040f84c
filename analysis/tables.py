"""`ofb-ray tables RESULTS... [--table NAME] [--out DIR]`: the paper's tables, published beside ours."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import arguments as arguments_of
from analysis.output.command import answer
from analysis.output.files import default_out, save
from analysis.paper.layout import PaperTable, as_csv, latex, markdown
from analysis.paper.tables import BUILDERS, tables
from analysis.trials.read import read
from ofb_ray.inputs import Parser

__all__ = ["BUILDERS", "analyse", "tables"]


def table_files(chosen: Sequence[PaperTable]) -> dict[str, bytes]:
    """Write `table-NAME.md`, `.tex` and `.csv` of each table."""
    texts: dict[str, str] = {}
    for table in chosen:
        stem = f"table-{table.name}"
        texts |= {f"{stem}.md": markdown(table), f"{stem}.tex": latex(table), f"{stem}.csv": as_csv(table)}
    return {name: text.encode() for name, text in texts.items()}


def analyse(folders: Sequence[str | Path], name: str | None = None, out: str | Path | None = None) -> str:
    """Write the tables of these results and return them as Markdown; by default into `analysis` of the folder.

    Raises:
        InputError: no results folder, no such table, or the files cannot be written.
    """
    results = read(folders)
    chosen = tables(results, name)
    if not chosen:
        measured = any(trial.record and trial.record.subnet for trial in results.trials)
        state = "nothing is measured yet" if results.trials else "there is no trial yet"
        state = "no trial has top-1 on a test part, which these tables show" if measured else state
        return f"{results.name}: {state}. --table shows a table's published rows: {', '.join(BUILDERS)}"
    folder, files = out or default_out(folders, results), table_files(chosen)
    save(files, folder)
    return "\n".join([*map(markdown, chosen), f"In {folder}: {', '.join(files)}"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 with one line on stderr for bad input."""
    parser = Parser(prog="python -m analysis.tables", description=__doc__)
    arguments_of.tables(parser)
    arguments = parser.parse_args(argv)
    return answer(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> str:
    """Write the tables that the arguments ask for, and return them as Markdown.

    Raises:
        InputError: as of `analyse`.
    """
    return analyse(arguments.results, arguments.table, arguments.out)


if __name__ == "__main__":
    sys.exit(main())
