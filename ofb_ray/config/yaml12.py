"""YAML as its users expect it: the scalars of YAML 1.2, no duplicate keys, and the line of every key.

PyYAML's own loader follows YAML 1.1: it reads `1e-4` as a string and `no` as False, and lets the last of two equal keys
win. Sweep files are read and written through this module instead.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from ofb_ray.errors import InputError, printable

Path = tuple[str | int, ...]
Lines = dict[Path, int]

_TAGS = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
_RESOLVERS: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
for _name, (_pattern, _first) in _TAGS.items():
    for _letter in _first:
        _entry = (f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"))
        _RESOLVERS.setdefault(_letter.replace("\0", ""), []).append(_entry)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers = _RESOLVERS


class _Dumper(yaml.SafeDumper):
    """Quotes exactly the strings that `_Loader` would read as something else."""

    yaml_implicit_resolvers = _RESOLVERS

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    try:
        value = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    except ValueError:
        raise yaml.constructor.ConstructorError(None, None, f"{text} is no integer", node.start_mark) from None
    if not -(2**63) <= value < 2**63:
        raise yaml.constructor.ConstructorError(None, None, "an integer of more than 64 bits", node.start_mark)
    return value


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node)
    try:
        value = float(text.replace(".", "", 1) if text.lstrip("+-.")[:1].lower() in ("i", "n") else text)
    except ValueError:
        raise yaml.constructor.ConstructorError(None, None, f"{text} is no number", node.start_mark) from None
    if not math.isfinite(value):
        raise yaml.constructor.ConstructorError(None, None, f"{text} is not a finite number", node.start_mark)
    return value


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


# What any sweep stays far below: an alias within an alias within an alias makes millions of nodes of a few bytes.
_MOST_NODES, _DEEPEST = 20_000, 40
_KINDS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}


def load(text: str, file: str) -> tuple[Any, Lines]:
    """The tree in `text`, and for every key and list item its line, counted from 1, by its path in the tree.

    Raises:
        InputError: not YAML, a key stands twice, a key that is not a string, a number that is not finite.
    """
    lines: Lines = {}
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, lines
        _note_lines(node, (), lines, (), file)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.problem, error.context) if part)
        raise InputError(f"not valid YAML: {problem}", file=file, line=mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {' '.join(str(error).split())}", file=file) from None
    except RecursionError:
        raise InputError(f"nested too deeply: at most {_DEEPEST} levels", file=file) from None
    finally:
        if loader is not None:
            loader.dispose()


def parse_scalar(text: str, source: str, key: str) -> Any:
    """The value that `text` has as YAML: a number, a list such as `[1, 2]`, a mapping, a string."""
    try:
        return load(text, source)[0]
    except InputError as error:
        raise InputError(error.message, file=source, key=key) from None


def dump(tree: Any) -> str:
    """`tree` as YAML text that `load` reads back to an equal tree."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)


def _note_lines(node: yaml.Node, path: Path, lines: Lines, above: tuple[int, ...], file: str) -> None:
    at = node.start_mark.line + 1
    if id(node) in above:
        raise InputError("an alias stands inside its own anchor", file=file, line=at)
    if len(lines) > _MOST_NODES or len(above) > _DEEPEST:
        raise InputError(
            f"too many values: at most {_MOST_NODES:,}, in at most {_DEEPEST} levels, aliases counted where they stand",
            file=file,
            line=at,
        )
    if node.tag not in _KINDS:
        raise InputError(f"the tag {node.tag} is not taken: leave it out", file=file, line=at)
    if isinstance(node, yaml.ScalarNode) and printable(node.value) != node.value:
        raise InputError(f"{node.value!r} holds a control character: remove it", file=file, line=at)
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*path, index)] = item.start_mark.line + 1
            _note_lines(item, (*path, index), lines, above, file)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            where = ".".join(str(part) for part in path)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
                raise InputError(f"{key!r} is not a name: quote it", file=file, line=line, key=where)
            if key in seen:
                full = f"{where}.{key}" if where else key
                raise InputError(f"the key stands twice, first in line {seen[key]}", file=file, line=line, key=full)
            seen[key] = line
            lines[(*path, key)] = line
            _note_lines(value, (*path, key), lines, above, file)
