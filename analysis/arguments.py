"""The arguments of the commands, for `ofb-ray report` and `python -m analysis.report` alike; loads nothing heavy."""

from __future__ import annotations

import argparse

from analysis.names import OBJECTIVES, STARTS, TABLES

X, Y, AUTO = "macs", "top1_val", "auto"


def report(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ofb-ray report`."""
    _results(parser)
    parser.add_argument("--out", metavar="DIR", help="folder or URI for report.html (default: RESULTS/analysis)")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="write no file: serve the page on 127.0.0.1 and keep it up to date while the sweep runs; Ctrl-C ends it",
    )
    parser.add_argument(
        "--port", type=_port, metavar="N", help="port of --watch (default: 8471, or the next free one; 0: any)"
    )


def front(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ofb-ray front`."""
    _results(parser)
    _out(parser)
    allowed = f"{', '.join(OBJECTIVES)}, or latency:BACKEND:BATCH"
    usual = f"{X}; latency_ratio where all budgets limit latency"
    parser.add_argument("--x", metavar="OBJECTIVE", help=f"one of {allowed} (default: {usual})")
    parser.add_argument("--y", metavar="OBJECTIVE", help=f"the same (default: {Y}; top1_test with --rivals)")
    parser.add_argument(
        "--rivals",
        nargs="?",
        const=AUTO,
        metavar="deit|swin",
        help="draw published ImageNet results beside, in rivals.*; the default follows the trials' model",
    )
    parser.add_argument(
        "--rivals-start",
        default="",
        metavar="CLASS,...",
        help=f"fairness classes: {', '.join(STARTS)}, or all (default: that of the trials)",
    )


def tables(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ofb-ray tables`."""
    _results(parser)
    parser.add_argument("--table", metavar="NAME", help=f"one of {', '.join(TABLES)}; default: all that have rows")
    _out(parser)


def inspect(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ofb-ray inspect`."""
    _results(parser)
    _out(parser)
    parser.add_argument("--trial", metavar="N", help="maps and trajectory of this trial (default: the selected ones)")
    parser.add_argument("--axes", default="", metavar="A,B,...", help="axes of the maps, such as embed,blocks.0.mlp")
    parser.add_argument("--order", choices=("rank", "index"), default="rank", help="of the units (default: rank)")


def _port(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def _results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results", nargs="+", metavar="RESULTS", help="results folders or their URIs, such as results/digits"
    )


def _out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", help="folder or URI for the files (default: RESULTS/analysis)")
