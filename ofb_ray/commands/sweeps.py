"""`ofb-ray sweeps`: lists the shipped sweeps, or prints one to start from."""

from __future__ import annotations

import argparse
import sys

from ofb_ray.config import yaml12
from ofb_ray.config.shipped import shipped_sweep, shipped_sweeps


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `sweeps` to the commands of the command line."""
    command = commands.add_parser("sweeps", help="list the shipped sweeps, or print one to start from")
    command.set_defaults(command=run)
    command.add_argument("name", metavar="NAME", nargs="?", help="print its file: ofb-ray sweeps digits > mine.yaml")


def run(arguments: argparse.Namespace) -> int:
    """Print the names of the shipped sweeps with their questions, or the text of the one that is named."""
    if arguments.name is None:
        print(sweeps_table())
    else:
        sys.stdout.write(shipped_sweep(arguments.name).read_text(encoding="utf-8"))
    return 0


def sweeps_table() -> str:
    """One line for each shipped sweep: its name and the question that it answers."""
    sweeps = shipped_sweeps()
    width = max((len(name) for name in sweeps), default=0)
    lines = []
    for name, file in sweeps.items():
        tree, _ = yaml12.load(file.read_text(encoding="utf-8"), str(file))
        lines.append(f"{name:{width}}  {tree.get('question', '') if isinstance(tree, dict) else ''}".rstrip())
    return "\n".join(lines)
