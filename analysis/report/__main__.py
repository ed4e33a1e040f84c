"""`python -m analysis.report RESULTS... [--out DIR | --watch]`: one page with fronts, tables, pictures and failures."""

from __future__ import annotations

import argparse
import contextlib
import gc
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
    parser.add_argument(
        "--watch",
        action="store_true",
        help="write no file: serve the page on 127.0.0.1 and keep it up to date while the sweep runs; Ctrl-C ends it",
    )
    parser.add_argument(
        "--port", type=_port, metavar="N", help="port of --watch (default: 8471, or the next free one; 0: any)"
    )
    arguments = parser.parse_args(argv)
    if arguments.watch and arguments.out:
        parser.error("--watch writes no file: leave --out away, or --watch")
    if arguments.port is not None and not arguments.watch:
        parser.error("--port is that of --watch: add --watch")
    if arguments.watch:
        return answer(lambda: _watch(arguments.results, arguments.port))
    return answer(lambda: report(arguments.results, arguments.out))


def _port(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def _watch(folders: Sequence[str], port: int | None) -> str:
    from analysis.report.live.server import watch  # a server is seldom wanted

    print("reading the results", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        watch(folders, port)
    gc.freeze()  # without it the interpreter looks through all that was imported once more: 0.5 s of CPU after Ctrl-C
    return "ended"


if __name__ == "__main__":
    sys.exit(main())
