"""`python -m analysis.report RESULTS... [--out DIR]`: one page with fronts, tables, pictures and failures."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.output.command import answer
from analysis.report.build import report
from ofb_ray.inputs import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 with one line on stderr for bad input."""
    parser = Parser(prog="python -m analysis.report", description=__doc__)
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results folders or their URIs")
    parser.add_argument("--out", metavar="DIR", help="folder or URI for report.html (default: RESULTS/analysis)")
    arguments = parser.parse_args(argv)
    return answer(lambda: report(arguments.results, arguments.out))


if __name__ == "__main__":
    sys.exit(main())
