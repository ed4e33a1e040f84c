"""`ofb-ray preview`: the front that needs no training, before anything else is paid for."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofb_ray.errors import InputError
from ofb_ray.results.files import trial_folder
from ofb_ray.results.locations import is_uri

if TYPE_CHECKING:
    from ofb_ray.results.records import Record
    from ofb_ray.tuning.prepare import Launch
    from ofb_ray.tuning.preview import Preview


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `preview` to the commands of the command line."""
    command = commands.add_parser("preview", help="make the training-free front of a sweep, in minutes, without Ray")
    command.set_defaults(command=run)
    command.add_argument("file", metavar="SWEEP", help="a YAML file, or the name of a shipped sweep")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, such as dense.epochs=3"
    )
    command.add_argument(
        "--budgets", type=_shares, default=(), metavar="SHARES", help="shares of the MACs, such as 0.3,0.5,0.7"
    )
    command.add_argument("--storage", help="folder of all results (default: the sweep's `storage`)")
    command.add_argument("--name", help="name of the sweep and of its results folder (default: the sweep's `name`)")


def _shares(text: str) -> tuple[float, ...]:
    shares = tuple(float(part) for part in text.split(","))
    if not all(0 < share <= 1 for share in shares):
        raise argparse.ArgumentTypeError("shares lie above 0 and are at most 1")
    return tuple(dict.fromkeys(shares))


def run(arguments: argparse.Namespace) -> int:
    """Run the preview and print its table; 0 when all of it is there."""
    from ofb_ray.config.load import load_with_origins
    from ofb_ray.tuning.console.report import TrialLine
    from ofb_ray.tuning.preview import prepare_preview, run_preview

    start = time.monotonic()
    spec, origins = load_with_origins(arguments.file, arguments.set, arguments.name, arguments.storage)
    preview = prepare_preview(spec, origins, arguments.budgets)
    for label, reason in preview.passed_over.items():
        print(f"note: budget {label} is passed over: {reason}")
    with origins.located(), TrialLine() as line:
        every = run_preview(preview, line.show)
    for record in every:
        if record.status == "failed":
            print(f"note: budget {record.budget.label} is passed over: {record.reason}")
    if not (records := [record for record in every if record.dense]):
        raise InputError("no budget is reachable: raise one, or widen search.space", key="budgets")
    print(table(records))
    print(_pictures(preview))
    count = f"{len(records)} network{'s' * (len(records) != 1)}"
    print(
        f"{count} in {time.monotonic() - start:.0f} s; nothing but the dense network was trained.\n"
        f"export one: ofb-ray export {shlex.quote(str(trial_folder(preview.results, records[0].trial)))} --to DIR"
    )
    return 0


def invitation(launch: Launch, file: str, overrides: Sequence[str], name: str | None, storage: str | None) -> str:
    """The line of a dry run that names the preview of its sweep; empty where that could not run.

    Args:
        file, overrides, name, storage: as they were given to the sweep.
    """
    if launch.missing or is_uri(launch.spec.storage):
        return ""
    parts = ["ofb-ray", "preview", file, *(part for each in overrides for part in ("--set", each))]
    parts += [part for flag, each in (("--name", name), ("--storage", storage)) if each for part in (flag, each)]
    return f"preview: {shlex.join(parts)} shows the front without training first"


def table(records: Sequence[Record]) -> str:
    """The dense network and the network of each budget: MACs, share, parameters, held-out top-1, and the trial.

    Where a budget limits latency, also the milliseconds of a pass.
    """
    known = [record.dense for record in records if record.dense is not None]
    dense = next((net for net in known if net.latency_ns is not None), known[0])
    rows = [("dense", dense, "")]
    rows += [(record.budget.label, record.subnet, f"{record.trial:05d}") for record in records if record.subnet]
    timed = any(net.latency_ns is not None for _, net, _ in rows)
    lines = [_line("budget", "MMACs", "share", "ms" if timed else None, "params", "held-out top-1", "trial")]
    for label, net, trial in rows:
        time = "-" if net.latency_ns is None else f"{net.latency_ns / 1e6:.3f}"
        macs, share = f"{net.macs / 1e6:.2f}", f"{net.macs / dense.macs:.3f}"
        lines.append(
            _line(label, macs, share, time if timed else None, f"{net.params:,d}", f"{net.top1_val:.2f}", trial)
        )
    return "\n".join(lines)


def _line(label: str, macs: str, share: str, time: str | None, params: str, top1: str, trial: str) -> str:
    cells = [f"{label:>13}", f"{macs:>9}", f"{share:>6}", *([] if time is None else [f"{time:>8}"])]
    return "  ".join([*cells, f"{params:>11}", f"{top1:>14}", trial]).rstrip()


def _pictures(preview: Preview) -> str:
    """Write the analysis of the preview, which is a results folder like any other, and name the picture."""
    from analysis.pareto import analyse
    from ofb_ray.results.files import ANALYSIS_FOLDER

    try:
        analyse(preview.results)
    except InputError as error:
        return f"no picture: {error}"
    return f"picture: {Path(preview.results) / ANALYSIS_FOLDER / 'front.png'}"
