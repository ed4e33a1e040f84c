"""`python -m analysis.pareto RESULTS... [--out DIR]`: the front of a sweep as table and figure, and what it says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import figures, selected
from analysis.load import Results, read, table
from ofb_ray.errors import InputError
from ofb_ray.outages import explain
from ofb_ray.records import write_atomic
from ofb_ray.storage import Remote, is_uri, join, parent, readable


def analyse(results: str | Path, out: str | Path | None = None) -> str:
    """Write `front.csv`, `front.png`, `front.pdf`, `table.md` and `table.tex`, each atomically, and say what was found.

    Args:
        results: a results folder or its URI; the sweep may still be running.
        out: where the files go, a folder or a URI; by default `results`/analysis.
    Returns:
        One screen of plain text: at most 30 lines of 100 columns (a long path may be wider).
    Raises:
        InputError: no results folder, or the files cannot be written.
    """
    return analyse_all([results], out)


def analyse_all(folders: Sequence[str | Path], out: str | Path | None = None) -> str:
    """`analyse` for several folders as one: by default the files go to `analysis` beside the first folder."""
    results = read(folders)
    one = len(results.folders) == 1
    text = _write(results, out or _inside(folders[0] if one else parent(folders[0])))
    for folder in folders:
        if is_uri(str(folder)):  # commands that the reader can use name the URI, not its local copy
            text = text.replace(str(readable(folder)), str(folder))
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: 0, or 2 with one line on stderr for bad input."""
    parser = argparse.ArgumentParser(prog="python -m analysis.pareto", description=__doc__)
    parser.add_argument(
        "results", nargs="+", metavar="RESULTS", help="results folders or their URIs, such as results/digits"
    )
    parser.add_argument("--out", metavar="DIR", help="folder or URI for the files (default: RESULTS/analysis)")
    arguments = parser.parse_args(argv)
    try:
        print(analyse_all(arguments.results, arguments.out))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _inside(location: str | Path) -> str | Path:
    return join(location, "analysis") if isinstance(location, str) else location / "analysis"


def _write(results: Results, out: str | Path) -> str:
    files = {
        "front.csv": table(results).to_csv(index=False).encode(),
        "table.md": selected.markdown(results).encode(),
        "table.tex": selected.latex(results).encode(),
        **figures.render(results),
    }
    try:
        if is_uri(str(out)):
            remote = Remote(str(out))
            for name, data in files.items():
                remote.write(name, data)
        else:
            for name, data in files.items():
                write_atomic(Path(out) / name, data)
    except OSError as error:
        raise InputError(
            f"cannot write here ({error.strerror or explain(error)}); give another folder with --out", file=str(out)
        ) from None
    return selected.screen(results, out)


if __name__ == "__main__":
    sys.exit(main())
