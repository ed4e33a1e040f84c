"""Read the arguments of `ofb-ray`, call the library, print, and return an exit code; policy is the library's.

0: all trials finished. 1: some failed, or the sweep was interrupted. 2: bad input, told in one line.
Heavy modules are imported inside the commands, so that `--help` and a misspelt key answer at once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofb_ray.commands import completion, explain, init, latency_table, preview, results, sweeps, version
from ofb_ray.config.shipped import find_sweep
from ofb_ray.errors import InputError, Interrupted
from ofb_ray.inputs import Parser, tell_reader, user_path
from ofb_ray.results.files import ARCH_FILE, LATENCY_FILE, RECORD_FILE, SHARED_FOLDER, WEIGHTS_FILE
from ofb_ray.results.locations import is_uri
from ofb_ray.results.records import read_record
from ofb_ray.results.store import fetched, readable

if TYPE_CHECKING:
    from ofb_ray.results.facts import TrialFacts

Commands = argparse._SubParsersAction  # argparse has no public name for what holds its subcommands
BACKENDS = ("torch", "compile", "onnxruntime", "onnxruntime-int8")
_MOST, _MOST_SECONDS = 65_536, 86_400  # of a batch or threads; a day


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Bad input is one line on stderr and code 2."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except InputError as error:
        print(f"ofb-ray: {error}", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"ofb-ray: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # its reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        goes_on = arguments.command in (_sweep, _trial, preview.run)
        remedy = "the same command continues it" if goes_on else "the same command starts again"
        print(f"ofb-ray: interrupted; {remedy}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(
        prog="ofb-ray", description="Compress Vision Transformers to a compute budget, swept by Ray Tune and Optuna."
    )
    parser.add_argument("--version", action=version.Version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_sweep(commands)
    _add_trial(commands)
    init.add_command(commands)
    preview.add_command(commands)
    status = commands.add_parser("status", help="show the state and progress of every trial")
    status.set_defaults(command=_status)
    status.add_argument("results", metavar="RESULTS", help="results folder or URI, <storage>/<sweep name>")
    _add_export(commands)
    _add_latency(commands)
    results.add_commands(commands)
    sweeps.add_command(commands)
    explain.add_command(commands)
    completion.add_command(commands, parser)
    return parser


def _add_sweep(commands: Commands[argparse.ArgumentParser]) -> None:
    sweep = commands.add_parser("sweep", help="run a sweep, or continue it where it stopped")
    sweep.set_defaults(command=_sweep)
    _sweep_arguments(sweep)
    sweep.add_argument("--address", help="address of a running Ray cluster, or auto (default: start Ray here)")
    sweep.add_argument("--storage", help="folder or URI of all results (default: the sweep's `storage`)")
    sweep.add_argument("--name", help="name of the sweep and of its results folder (default: the sweep's `name`)")
    sweep.add_argument("--dry-run", action="store_true", help="print what would run and how long; write nothing")
    sweep.add_argument("--resume", action="store_true", help="insist that the sweep has been started before")
    sweep.add_argument("--extend", action="store_true", help="let the sweep have more budgets or seeds than it had")
    sweep.add_argument("--retry-failed", action="store_true", help="run failed trials again, under their numbers")
    sweep.add_argument("--trial-function", help=argparse.SUPPRESS)


def _add_trial(commands: Commands[argparse.ArgumentParser]) -> None:
    trial = commands.add_parser("trial", help="run a sweep's first trial here, without Ray, or a recorded one again")
    trial.set_defaults(command=_trial)
    _sweep_arguments(trial, nargs="?")
    trial.add_argument("--from", dest="record", metavar="RECORD", help="a trial folder or record.json: run it again")
    trial.add_argument("--out", help="folder of the trial (default: results/<name>-trial)")


def _add_export(commands: Commands[argparse.ArgumentParser]) -> None:
    export = commands.add_parser("export", help="write a finished trial as a plain timm model")
    export.set_defaults(command=_export)
    export.add_argument("trial", metavar="TRIAL", help="trial folder or URI, <storage>/<sweep name>/<number>")
    export.add_argument("--to", required=True, metavar="DIR", help="folder to write")
    export.add_argument("--onnx", action="store_true", help="write model.onnx, too, checked for equal outputs")
    export.add_argument("--program", action="store_true", help="write model.pt2 (torch.export), too, checked as well")
    export.add_argument("--int8", action="store_true", help="write model.int8.onnx, too, with what it costs and gains")
    export.add_argument("--data", metavar="ROOT", help="of --int8: the data set's root, where it has moved")
    export.add_argument("--measure", action="store_true", help="measure latency first, as `ofb-ray latency` does")
    _latency_arguments(export)


def _add_latency(commands: Commands[argparse.ArgumentParser]) -> None:
    latency = commands.add_parser("latency", help="time subnets against their dense network, in turns")
    latency.set_defaults(command=_latency)
    latency.add_argument("places", nargs="+", metavar="TRIAL_OR_RESULTS", help="trial or results folders or URIs")
    latency.add_argument("--table", metavar="FILE", help="measure what sizes cost, for the sweep that is named instead")
    latency.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of that sweep")
    _latency_arguments(latency)


def _sweep_arguments(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    parser.add_argument("file", metavar="SWEEP", nargs=nargs, help="a YAML file, or the name of a shipped sweep")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, such as search.epochs=3"
    )


def _latency_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=_count, action="append", help="batch size, may be repeated (default: 1 and 16)")
    parser.add_argument(
        "--backend", choices=BACKENDS, action="append", help="backend, may be repeated (default: all but int8)"
    )
    parser.add_argument("--threads", type=_count, help="threads of torch and onnxruntime (default: torch's)")
    parser.add_argument(
        "--seconds",
        type=_duration,
        help="seconds for each backend and batch size, at most (default: 30)",
    )


def _duration(text: str) -> float:
    if not 0 < (value := float(text)) <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"above 0, at most {_MOST_SECONDS}")
    return value


def _count(text: str) -> int:
    if not 1 <= (value := int(text)) <= _MOST:
        raise argparse.ArgumentTypeError(f"at least 1, at most {_MOST}")
    return value


def _sweep(arguments: argparse.Namespace) -> int:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a scheduler says Ctrl-C
    find_sweep(arguments.file)
    if arguments.dry_run:
        tell_reader(f"reading {arguments.file}")
    else:
        print(f"reading {arguments.file}", flush=True)
    from ofb_ray.tuning.console.steps import silent, step
    from ofb_ray.tuning.prepare import RUN_TRIAL, prepare

    # The output of a dry run may be a file's: on a terminal alone is there somebody who waits.
    telling = silent if arguments.dry_run and not sys.stdout.isatty() else step
    launch = prepare(
        arguments.file,
        arguments.set,
        name=arguments.name,
        storage=arguments.storage,
        address=arguments.address,
        function=arguments.trial_function or RUN_TRIAL,
        resume=arguments.resume,
        extend=arguments.extend,
        retry_failed=arguments.retry_failed,
        dry=arguments.dry_run,
        start_ray=True,
        step=telling,
    )
    if arguments.dry_run:
        from ofb_ray.tuning.dry_run import describe_dry_run

        with telling("timing a few steps"):
            text = describe_dry_run(launch)
        print(text)
        if line := preview.invitation(launch, arguments.file, arguments.set, arguments.name, arguments.storage):
            print(line)
        return 0
    for note in launch.notes:
        print(f"note: {note}")
    if arguments.retry_failed and not launch.retry:
        print("no trial has failed: nothing to retry")
    if launch.complete:
        print(f"all {launch.index.total} trials are done")
        return print_results(launch.results.location, launch.index.facts)
    from ofb_ray.tuning.console import report
    from ofb_ray.tuning.execute import execute

    again = report.resume_command(arguments.file, arguments.set, arguments.address, launch.spec)
    executed = execute(launch, again)
    if executed.interrupted:
        print(f"interrupted; to go on: {again}", flush=True)
        return 1
    return print_results(launch.results.location, executed.facts)


def print_results(location: str, facts: Sequence[TrialFacts]) -> int:
    """Print the analysis of a sweep whose trials have ended, which says what to do next, and what failed.

    Args:
        location: the results folder or its URI.
        facts: its trials.
    Returns:
        The exit code.
    """
    from analysis import gate
    from analysis.pareto import analyse
    from ofb_ray.tuning.console import report

    bad = report.failures(location, facts)
    for text in (analyse(location), *gate.summary(location), *bad):
        print(text)
    return 1 if bad else 0


def _trial(arguments: argparse.Namespace) -> int:
    if (arguments.file is None) == (arguments.record is None) or (arguments.record is not None and arguments.set):
        raise InputError("either SWEEP.yaml, with --set if need be, or --from RECORD alone", key="trial")
    if arguments.record is not None:
        from ofb_ray.rerun import rerun

        return rerun(arguments.record, user_path(arguments.out, "--out") if arguments.out else None)
    from ofb_ray.config.load import load_with_origins

    spec, origins = load_with_origins(arguments.file, arguments.set)
    from ofb_ray.trial.local_workers import local_team
    from ofb_ray.trial.run import run_trial
    from ofb_ray.tuning.console import report
    from ofb_ray.tuning.prepare import plan_cells

    cell = spec.cells[0]
    plan_cells(spec, origins, [cell])  # bad input is refused before a folder is made
    trial = spec.trial(cell, {})
    out = user_path(arguments.out, "--out") if arguments.out else Path(spec.storage) / f"{spec.name}-trial"
    report.check_trial_folder(out, trial)
    start = time.monotonic()
    team = local_team(spec.resources.workers, trial, out, spec.name)
    with origins.located(), report.TrialLine() as line, team:
        record = run_trial(trial, line.show, out, shared=out / SHARED_FOLDER, sweep=spec.name)
    print(report.trial_summary(record, out, time.monotonic() - start))
    return 0 if record.status == "finished" else 1


def _status(arguments: argparse.Namespace) -> int:
    from ofb_ray.results import folder
    from ofb_ray.results.driving import read_driver
    from ofb_ray.results.index import TrialIndex
    from ofb_ray.tuning.console import status

    local = readable(arguments.results)
    uri = arguments.results if is_uri(arguments.results) else None
    index = TrialIndex.read(local, folder.read_sweep(local, uri), uri)
    width = min(status.WIDTH, shutil.get_terminal_size((status.WIDTH, 24)).columns)
    print(status.status_text(index, read_driver(local, uri), arguments.results, width))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    user_path(arguments.to, "--to")
    folder = fetched(arguments.trial, (RECORD_FILE, ARCH_FILE, WEIGHTS_FILE, LATENCY_FILE))
    record = read_record(folder) if folder.is_dir() else None
    if record is None or record.status != "finished":
        state = "no trial folder" if not folder.is_dir() else (record.status if record else "not finished")
        raise InputError(f"{state}: give the folder of a finished trial, <results>/<number>", file=arguments.trial)
    if gone := [name for name in (ARCH_FILE, WEIGHTS_FILE) if not (folder / name).exists()]:
        raise InputError(f"lacks {' and '.join(gone)}: copy the whole trial folder", file=arguments.trial)
    tell_reader(f"exporting {arguments.trial}")
    from ofb_ray.export import command

    return command.export(arguments, folder)


def _latency(arguments: argparse.Namespace) -> int:
    if arguments.table is not None:
        return latency_table.run(arguments)
    if arguments.set:
        raise InputError("overrides a sweep's key for --table: give both, or neither", key="--set")
    from ofb_ray.export import command

    return command.latency(arguments)
