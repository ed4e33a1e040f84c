"""`ofb-ray report RESULTS... [--out DIR | --watch]`: one page with fronts, tables, pictures and failures."""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
from collections.abc import Sequence

from analysis import arguments as arguments_of
from analysis.output.command import answer
from analysis.report.build import report
from ofb_ray.errors import InputError
from ofb_ray.inputs import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 with one line on stderr for bad input."""
    parser = Parser(prog="python -m analysis.report", description=__doc__)
    arguments_of.report(parser)
    arguments = parser.parse_args(argv)
    return answer(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> str:
    """Write the page that the arguments ask for and say where it is, or serve it until Ctrl-C.

    Raises:
        InputError: arguments that do not fit together, no results folder, or the file cannot be written.
    """
    if arguments.watch and arguments.out:
        raise InputError("--watch writes no file: leave --out away, or --watch", key="--out")
    if arguments.port is not None and not arguments.watch:
        raise InputError("--port is that of --watch: add --watch", key="--port")
    if arguments.watch:
        return _watch(arguments.results, arguments.port)
    return report(arguments.results, arguments.out)


def _watch(folders: Sequence[str], port: int | None) -> str:
    from analysis.report.live.server import watch  # a server is seldom wanted

    print("reading the results", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        watch(folders, port)
    gc.freeze()  # without it the interpreter looks through all that was imported once more: 0.5 s of CPU after Ctrl-C
    return "ended"


if __name__ == "__main__":
    sys.exit(main())
