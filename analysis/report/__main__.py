"""`ofb-ray report RESULTS... [--out DIR]`: one page with fronts, tables, pictures and failures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from analysis import arguments as arguments_of
from analysis.output.command import answer
from analysis.report.build import report
from ofb_ray.inputs import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 with one line on stderr for bad input."""
    parser = Parser(prog="python -m analysis.report", description=__doc__)
    arguments_of.report(parser)
    arguments = parser.parse_args(argv)
    return answer(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> str:
    """Write the page that the arguments ask for, and say where it is.

    Raises:
        InputError: no results folder, or the file cannot be written.
    """
    return report(arguments.results, arguments.out)


if __name__ == "__main__":
    sys.exit(main())
