"""`ofb-ray report | front | tables | inspect`: the commands of the analysis, which read results folders."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from importlib import import_module

from analysis import arguments as arguments_of
from ofb_ray.inputs import tell_reader

# Name, the module of the analysis whose `run` it is, its arguments, its purpose.
COMMANDS: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], None], str], ...] = (
    ("report", "analysis.report.__main__", arguments_of.report, "make one page of results: report.html"),
    ("front", "analysis.pareto", arguments_of.front, "make the front of results: tables, figures, what they say"),
    ("tables", "analysis.tables", arguments_of.tables, "make the paper's tables of results, published numbers beside"),
    ("inspect", "analysis.search", arguments_of.inspect, "draw what the searches kept, when and why"),
)


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands of the analysis to the command line."""
    for name, module, add_arguments, purpose in COMMANDS:
        command = commands.add_parser(name, help=purpose)
        command.set_defaults(command=partial(_run, module))
        add_arguments(command)


def _run(module: str, arguments: argparse.Namespace) -> int:
    tell_reader(f"reading {', '.join(arguments.results)}")
    text: str = import_module(module).run(arguments)
    print(text, flush=True)
    return 0
