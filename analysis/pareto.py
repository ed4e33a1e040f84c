"""`python -m analysis.pareto RESULTS... [--out DIR]`: the front of a sweep as table and figure, and what it says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import figures, tables
from analysis.load import Results, read, table
from ofb_ray.errors import InputError
from ofb_ray.records import write_atomic


def analyse(results: Path, out: Path | None = None) -> str:
    """Write `front.csv`, `front.png`, `front.pdf`, `table.md` and `table.tex`, each atomically, and say what was found.

    Args:
        results: a results folder; the sweep may still be running.
        out: where the files go; by default `results`/analysis.
    Returns:
        One screen of plain text: at most 30 lines of 100 columns (a long path may be wider).
    Raises:
        InputError: no results folder, or the files cannot be written.
    """
    return _write(read([results]), out or results / "analysis")


def analyse_all(folders: Sequence[Path], out: Path | None = None) -> str:
    """`analyse` for several folders as one: by default the files go to `analysis` beside the first folder."""
    results = read(folders)
    if len(results.folders) == 1:
        return _write(results, out or results.folders[0] / "analysis")
    return _write(results, out or results.folders[0].parent / "analysis")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: 0, or 2 with one line on stderr for bad input."""
    parser = argparse.ArgumentParser(prog="python -m analysis.pareto", description=__doc__)
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS", help="results folders, such as results/digits"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the files (default: RESULTS/analysis)")
    arguments = parser.parse_args(argv)
    try:
        print(analyse_all(arguments.results, arguments.out))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _write(results: Results, out: Path) -> str:
    files = {
        "front.csv": table(results).to_csv(index=False).encode(),
        "table.md": tables.markdown(results).encode(),
        "table.tex": tables.latex(results).encode(),
        **figures.render(results),
    }
    try:
        for name, data in files.items():
            write_atomic(out / name, data)
    except OSError as error:
        raise InputError(
            f"cannot write here ({error.strerror}); give another folder with --out", file=str(out)
        ) from None
    return tables.screen(results, out)


if __name__ == "__main__":
    sys.exit(main())
