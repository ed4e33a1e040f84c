"""`ofb-ray explain`: what a key of a sweep file means, what it may be, and which functions read it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from textwrap import fill
from typing import Any

from pydantic import TypeAdapter

from ofb_ray.commands.readers import Readers, readers
from ofb_ray.config import SweepSpec
from ofb_ray.config.describe import Entry, entries
from ofb_ray.config.load import load_with_origins
from ofb_ray.config.space import fields
from ofb_ray.errors import InputError, nearest

WIDTH = 80
# A trial has one of what a sweep lists, and its field has another name.
_OF_A_TRIAL = {("SweepSpec", "budgets"): ("TrialSpec", "budget"), ("SweepSpec", "seeds"): ("TrialSpec", "seed")}
# Below these stand keys of the sweep themselves: `parameters: {search.lr: {min: 1e-4, max: 1e-2}}`.
_HOLD_KEYS = ("parameters", "grid")
_SPECS = "ofb_ray.config."


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `explain` to the commands of the command line."""
    command = commands.add_parser("explain", help="say what a key of a sweep file means, its default and range")
    command.set_defaults(command=run)
    command.add_argument(
        "key", metavar="KEY", nargs="?", help="such as search.lr, or search for all below it (default: the first level)"
    )
    command.add_argument(
        "file", metavar="SWEEP", nargs="?", help="a sweep file or shipped sweep: what the key is there"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation of the key that is named, or the list of the keys of the first level."""
    text = explain(arguments.key or "")
    if arguments.file:
        text += f"\n{_wrapped(value_in(arguments.file, plain(arguments.key)), '  here     ')}"
    print(text)
    return 0


def explain(key: str) -> str:
    """Explain a key, in lines of at most `WIDTH` columns.

    Args:
        key: dotted, with or without the `[]`, `*` or position of an item; empty for the keys of the first level.

    Raises:
        InputError: there is no such key; names the nearest ones.
    """
    known = {plain(entry.key.name): entry for entry in entries(SweepSpec)}
    if not key:
        return "\n".join([*_below("", known), "", "ofb-ray explain KEY says more of one."])
    head, _, rest = key.partition(".")
    if head in _HOLD_KEYS and rest and plain(key) not in known:
        return "\n\n".join(_text(each, known) for each in _held(key, head, rest, known))
    return _text(_found(key, known), known)


def value_in(file: str, key: str) -> str:
    """Say what a key is in a sweep and where that stands: `0.002 (digits.yaml:22)`.

    Args:
        file: a YAML file, or the name of a shipped sweep.
        key: dotted, without the position of an item.

    Raises:
        InputError: the sweep is none.
    """
    spec, origins = load_with_origins(file)
    path = tuple(key.split("."))
    for holder, explored in (("parameters", spec.parameters), ("grid", spec.grid)):
        if together := next((name for name in explored if key in fields(name)), None):
            place = origins.lines.get((holder, together))
            return f"explored: {_plain(explored[together])} ({origins.file}:{place}, {holder})"
    value: Any = spec
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    line = origins.lines.get(path)
    return f"{_plain(value)} ({'the default' if line is None else f'{origins.file}:{line}'})"


def _plain(value: Any) -> str:
    """Write a value as YAML would have it on one line."""
    return json.dumps(TypeAdapter(Any).dump_python(value, mode="json", exclude_none=True), ensure_ascii=False)


def plain(name: str) -> str:
    """A key without what stands for an item: `budgets[].gmacs`, `budgets.0.gmacs` are `budgets.gmacs`."""
    parts = name.replace("[]", "").split(".")
    return ".".join(part for part in parts if part != "*" and not part.isdecimal())


def read_by(entry: Entry, known: Readers) -> list[str]:
    """The functions that read a key, `module.function` each.

    What only a method of the specs reads is passed on to the readers of that method; checks of the specs are left out
    where others read the key.

    Args:
        entry: the key.
        known: the readers of each class and attribute.
    """
    names = [each.__name__ for each in entry.model.__mro__]
    field = entry.key.name.rpartition(".")[2]
    wanted = [(name, field) for name in names]
    wanted += [_OF_A_TRIAL[each] for each in wanted if each in _OF_A_TRIAL]
    places: dict[str, None] = {}
    seen: set[tuple[str, str]] = set()
    while wanted:
        each = wanted.pop()
        if each in seen:
            continue
        seen.add(each)
        for place in known.get(each, ()):
            places.setdefault(place)
            owner, _, method = place.rpartition(".")
            if place.startswith(_SPECS) and not method.startswith("_"):
                wanted.append((owner.rpartition(".")[2], method))
    acting = [place for place in places if not place.startswith(_SPECS)]
    return sorted(acting or places)


def _found(key: str, known: Mapping[str, Entry]) -> Entry:
    name = plain(key)
    if name in known:
        return known[name]
    alike = [each for each in known if each.rpartition(".")[2] == name]
    if alike:
        raise InputError(f"unknown key; did you mean {' or '.join(map(repr, alike))}?", key=key)
    raise InputError(f"unknown key{nearest(name, list(known)) or '; `ofb-ray explain` lists them'}", key=key)


def _held(key: str, head: str, rest: str, known: Mapping[str, Entry]) -> list[Entry]:
    """The entries behind `parameters.search.lr` or `parameters.search.lr.min`: of the holder, and of the key."""
    inner, _, last = rest.rpartition(".")
    if inner and f"{head}.{last}" in known and plain(rest) not in known:
        return [known[f"{head}.{last}"], _found(inner, known)]
    return [known[head], _found(rest, known)]


def _text(entry: Entry, known: Mapping[str, Entry]) -> str:
    key, name = entry.key, plain(entry.key.name)
    lines = [key.name, _wrapped(key.description, "  ")]
    facts = {"type": key.kind.replace("`", ""), "unit": key.unit, "range": key.range.replace("`", "")}
    facts["default"] = ("" if key.default == "see below" else key.default) or ("" if key.default else "must be given")
    lines += [_wrapped(value, f"  {label:9}") for label, value in facts.items() if value]
    if below := _below(f"{name}.", known):
        return "\n".join([*lines, "", *below])
    return "\n".join([*lines, *_readers_lines(entry)])


def _readers_lines(entry: Entry) -> Iterator[str]:
    modules: dict[str, list[str]] = {}
    for place in read_by(entry, readers()):
        module, function = _split(place)
        modules.setdefault(module, []).append(function)
    for number, (module, functions) in enumerate(modules.items()):
        yield _wrapped(f"{module}: {', '.join(functions)}", f"  {'' if number else 'read by':9}")


def _split(place: str) -> tuple[str, str]:
    """`ofb_ray.a.b.Class.method` as module and what is in it: a class begins with a capital letter."""
    parts = place.split(".")
    count = next((index for index, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    return ".".join(parts[:count]), ".".join(parts[count:])


def _below(prefix: str, known: Mapping[str, Entry]) -> list[str]:
    """A line for each key directly below a prefix: its name and the first sentence of what it means."""
    names = [name for name in known if name.startswith(prefix) and "." not in name.removeprefix(prefix)]
    width = max(map(len, names), default=0)
    return [_wrapped(_first_sentence(known[name].key.description), f"{name:{width}}  ") for name in names]


def _first_sentence(text: str) -> str:
    """Up to the first full stop or semicolon that stands in no parentheses."""
    depth = 0
    for position, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth and text[position : position + 2] in (". ", "; "):
            return f"{text[:position]}."
    return f"{text.rstrip('.')}."


def _wrapped(text: str, label: str) -> str:
    return fill(
        text,
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
