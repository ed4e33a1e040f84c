"""Describe the keys of pydantic models: type, default, unit, range and description, read from their fields."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_WORDS = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    type(None): "null",
    Any: "any value",
}


@dataclass(frozen=True)
class Key:
    """One field of a model as the reference shows it.

    Args:
        name: dotted path from the root; `[]` stands for an item of a list, `*` for a key of a mapping.
        kind: type in words.
        default: as YAML; empty where the key must be given.
        unit, range: of a number; empty where none is stated.
        numeric: whether a number is among its values.
    """

    name: str
    kind: str
    default: str
    unit: str
    range: str
    description: str
    numeric: bool


def sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The model and every model that its fields hold, each with its dotted path, parents first."""
    yield path, model
    for name, field in model.model_fields.items():
        for suffix, inner in _models(field.annotation):
            yield from sections(inner, f"{path}.{name}{suffix}" if path else f"{name}{suffix}")


def keys(model: type[BaseModel], path: str = "") -> list[Key]:
    """The fields of one model, in its order."""
    return [_key(name, field, path) for name, field in model.model_fields.items()]


@dataclass(frozen=True)
class Entry:
    """A key, and the model whose field it is."""

    key: Key
    model: type[BaseModel]


def entries(model: type[BaseModel]) -> Iterator[Entry]:
    """Every key of a model and of the models in it, each once, parents first."""
    for path, each in sections(model):
        yield from (Entry(key, each) for key in keys(each, path))


def faults(model: type[BaseModel]) -> list[str]:
    """What the reference of a model and of all models in it would lack: a description, a unit or a range."""
    lines = []
    for path, each in sections(model):
        for key in keys(each, path):
            if not key.description:
                lines.append(f"{key.name}: no description")
            if key.numeric and not key.unit:
                lines.append(f"{key.name}: no unit")
            if key.numeric and not key.range:
                lines.append(f"{key.name}: no range")
    return lines


def _key(name: str, field: FieldInfo, path: str) -> Key:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return Key(
        name=f"{path}.{name}" if path else name,
        kind=words(field.annotation),
        default=_default(field),
        unit=str(extra.get("unit", "")),
        range=_range(field) or str(extra.get("range", "")),
        description=field.description or "",
        numeric=_is_numeric(field.annotation),
    )


def _range(field: FieldInfo) -> str:
    """The bounds of a field: `0 < x ≤ 1`, `≥ 1`; empty where it has none."""
    bounds = {name: getattr(each, name) for each in field.metadata for name in _BOUNDS if hasattr(each, name)}
    low = next((f"{bounds[name]:g} {sign} " for name, sign in (("ge", "≤"), ("gt", "<")) if name in bounds), "")
    high = next((f" {_BOUNDS[name]} {bounds[name]:g}" for name in ("le", "lt") if name in bounds), "")
    if low and high:
        return f"{low}x{high}"
    return next((f"{_BOUNDS[name]} {value:g}" for name, value in bounds.items()), "")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, tuple):
        value = [each.model_dump(mode="json") if isinstance(each, BaseModel) else each for each in value]
    return json.dumps(value)


def _is_numeric(annotation: Any) -> bool:
    """Whether a number, or a list of numbers, is among the values of a type; those of a mapping do not count."""
    if annotation in (int, float):
        return True
    if typing.get_origin(annotation) in (types.UnionType, typing.Union, tuple, typing.Annotated):
        return any(_is_numeric(each) for each in typing.get_args(annotation))
    return False


def _models(annotation: Any, suffix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield suffix, annotation
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        for each in arguments:
            yield from _models(each, suffix)
    elif origin is typing.Annotated:
        yield from _models(arguments[0], suffix)
    elif origin in (tuple, list):
        yield from _models(arguments[0], f"{suffix}[]")
    elif origin is dict:
        yield from _models(arguments[1], f"{suffix}.*")


def words(annotation: Any) -> str:
    """A type as a reader of YAML or JSON names it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin in (types.UnionType, typing.Union):
        names = list(dict.fromkeys(words(each) for each in arguments))
        if {"number", "whole number"} <= set(names):
            names.remove("whole number")
        return " or ".join(names)
    if origin is typing.Annotated:
        return words(arguments[0])
    if origin in (tuple, list):
        return f"list of {_plural(words(arguments[0]))}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return _WORDS.get(annotation, str(annotation))


def _plural(words: str) -> str:
    irregular = {"text": "texts", "any value": "any values", "list of any values": "lists of any values"}
    return irregular.get(words, f"{words}s")
