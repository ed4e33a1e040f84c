"""The space that a sweep explores: keys that move several fields together, conditions, and what is tried first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ofb_ray.config.base import Json
from ofb_ray.config.explore import Parameter


def fields(key: str) -> list[str]:
    """The dotted fields that a key of `grid` or `parameters` sets: several where it is zipped, `a.x, b.x`."""
    return [part.strip() for part in key.split(",")]


def expand(key: str, value: Any) -> Json:
    """One entry for each field of `key`; a zipped key's value is a list with an item for each of its fields."""
    names = fields(key)
    return {key: value} if len(names) == 1 else dict(zip(names, value, strict=True))


def expand_all(values: Mapping[str, Any]) -> Json:
    """`expand` over all entries of a mapping."""
    return {name: each for key, value in values.items() for name, each in expand(key, value).items()}


def collect(params: Mapping[str, Any], keys: Iterable[str]) -> Json:
    """The inverse of `expand_all`: the values of those `keys` that `params` has, keyed as in the sweep file."""
    found = {}
    for key in keys:
        if all(name in params for name in fields(key)):
            values = [params[name] for name in fields(key)]
            found[key] = values if len(values) > 1 else values[0]
    return found


def value_at(tree: Json, key: str) -> Any:
    """The value of `key` in a resolved spec's tree; a list where the key is zipped, None where a level is missing."""
    found = []
    for name in fields(key):
        value: Any = tree
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        found.append(value)
    return found[0] if len(found) == 1 else found


def inside(parameter: Parameter, value: Any) -> bool:
    """Whether `value` is one that the parameter may take."""
    if parameter.values is not None:
        return value in parameter.values
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if parameter.integer and value != int(value):
        return False
    assert parameter.min is not None
    assert parameter.max is not None
    return bool(parameter.min <= value <= parameter.max)


def applies(parameter: Parameter, known: Json) -> bool:
    """Whether the parameter's `when` holds; a condition on a parameter that does not apply itself does not hold."""
    for key, wanted in (parameter.when or {}).items():
        if key not in known or known[key] not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


def suggestion_order(parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """The parameters in the file's order, but each after those its `when` names; those in a circle are left out."""
    waiting = dict(parameters)
    while waiting:
        ready = [key for key, p in waiting.items() if not any(other in waiting for other in p.when or {})]
        if not ready:
            return
        yield ready[0]
        del waiting[ready[0]]


def grid_points(parameters: Mapping[str, Parameter], cell: Json) -> list[Json]:
    """Every combination of `values` in the file's order, the last parameter fastest, keyed as in the file.

    A parameter whose condition does not hold is left out, so that no combination stands twice.
    """
    points: list[Json] = [{}]
    for key in suggestion_order(parameters):
        longer: list[Json] = []
        for point in points:
            if applies(parameters[key], {**cell, **point}):
                longer += [{**point, key: value} for value in parameters[key].values or ()]
            else:
                longer.append(point)
        points = longer
    return points
