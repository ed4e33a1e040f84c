"""Describe command lines from their argparse parsers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from unittest import mock


@dataclass(frozen=True)
class Option:
    """One argument of a command: how it is written, and what it does."""

    usage: str
    help: str


@dataclass(frozen=True)
class Command:
    """One command, such as `ofb-ray sweep`, its purpose and its arguments in the parser's order."""

    name: str
    purpose: str
    usage: str
    options: tuple[Option, ...]


class _CaughtError(Exception):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def parser_of(main: Callable[[Sequence[str]], int]) -> argparse.ArgumentParser:
    """The parser that a command's `main` builds.

    Raises:
        ValueError: it parses nothing.
    """

    def catch(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _CaughtError(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", catch):
        try:
            main([])
        except _CaughtError as caught:
            return caught.parser
    raise ValueError(f"{main} parses no arguments")


def commands(parser: argparse.ArgumentParser) -> Iterator[Command]:
    """The parser's own command where it takes arguments, or else its subcommands."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    own = [action for action in parser._actions if action not in groups and not _is_help(action)]
    if own or not groups:
        yield Command(parser.prog, parser.description or "", _usage(parser), tuple(_options(own)))
    for group in groups:
        purposes = {each.dest: each.help or "" for each in group._choices_actions}
        for name, inner in group.choices.items():
            actions = [action for action in inner._actions if not _is_help(action)]
            purpose = purposes.get(name, "")
            yield Command(f"{parser.prog} {name}", purpose, _usage(inner), tuple(_options(actions)))


def faults(parser: argparse.ArgumentParser) -> list[str]:
    """Commands and arguments without a description."""
    lines = []
    for command in commands(parser):
        if not command.purpose:
            lines.append(f"{command.name}: no description")
        lines += [f"{command.name} {each.usage}: no help" for each in command.options if not each.help]
    return lines


def _is_help(action: argparse.Action) -> bool:
    return isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS


def _usage(parser: argparse.ArgumentParser) -> str:
    return " ".join(parser.format_usage().removeprefix("usage: ").split())


def _options(actions: Sequence[argparse.Action]) -> Iterator[Option]:
    formatter = argparse.HelpFormatter("")
    for action in actions:
        usage = formatter._format_action_invocation(action)
        text = (action.help or "") % {**vars(action), "prog": ""}
        yield Option(usage, text)
