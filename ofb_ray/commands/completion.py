"""`ofb-ray completion`: prints a script that completes commands, options, shipped sweeps and files in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from functools import partial

from ofb_ray.config.shipped import shipped_sweeps

SHELLS = ("bash", "zsh")
SWEEP_ARGUMENTS, SHIPPED_ARGUMENTS = ("file",), ("name",)
PATH_ARGUMENTS = ("record", "results", "trial", "out", "to", "places", "storage", "data", "weights")
# "file" in the name of a bash function makes shtab treat what it prints as file names.
_BASH = """\
_ofb_ray_shipped() { compgen -W "NAMES" -- "$1"; }
_ofb_ray_sweep_files() { _ofb_ray_shipped "$1"; compgen -f -X '!*.yaml' -- "$1"; compgen -d -- "$1"; }
"""
_ZSH = """\
_ofb_ray_shipped() { compadd NAMES }
_ofb_ray_sweep_files() { compadd NAMES; _files -g '*.yaml' }
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser], parser: argparse.ArgumentParser) -> None:
    """Add `completion` to the commands of the command line, whose parser it describes to a shell."""
    command = commands.add_parser("completion", help='complete in a shell: eval "$(ofb-ray completion bash)"')
    command.set_defaults(command=partial(run, parser))
    command.add_argument("shell", choices=SHELLS, help="whose script to print")


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Print the completion script of the shell that is named."""
    print(script(parser, arguments.shell))
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Make the completion script of a shell from the parser itself.

    Args:
        parser: the parser of the whole command line.
        shell: one of SHELLS.
    """
    import shtab

    for action in _actions(parser):
        if complete := shtab.FILE if action.dest in PATH_ARGUMENTS else _sweep_completer(action):
            action.complete = complete  # type: ignore[attr-defined]
    preamble = {"bash": _BASH, "zsh": _ZSH}[shell].replace("NAMES", " ".join(shipped_sweeps()))
    return shtab.complete(parser, shell, preamble=preamble)


def _sweep_completer(action: argparse.Action) -> Mapping[str, str]:
    if action.dest in SWEEP_ARGUMENTS:
        return dict.fromkeys(SHELLS, "_ofb_ray_sweep_files")
    if action.dest in SHIPPED_ARGUMENTS and not action.option_strings:
        return dict.fromkeys(SHELLS, "_ofb_ray_shipped")
    return {}


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
