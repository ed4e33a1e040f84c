"""What a sweep explores: the keys of `grid`, `parameters` and `when`, checked against the fields of a trial."""

from __future__ import annotations

import itertools
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ofb_ray.errors import InputError, nearest
from ofb_ray.spec import Parameter, SweepSpec, TrialSpec

Loc = tuple[str | int, ...]
Fail = Callable[[str, Loc], InputError]


def known_keys(kind: Any, loc: Loc) -> list[str]:
    """The field names of the spec at `loc` inside the type `kind`; empty where anything goes."""
    for part in loc:
        kind = _step(kind, part)
    kind = _present(kind)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _step(kind: Any, part: str | int) -> Any:
    """The type one level below the type `kind`: a field, an item of a tuple, a value of a dict. None: no such thing."""
    kind = _present(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return field.annotation if field else None
    if typing.get_origin(kind) in (tuple, dict):
        arguments = typing.get_args(kind)
        return arguments[0] if typing.get_origin(kind) is tuple else arguments[1]
    return None


def _present(kind: Any) -> Any:
    """The spec in an optional one: DistillSpec of DistillSpec | None."""
    if typing.get_origin(kind) is not types.UnionType:
        return kind
    options = (each for each in typing.get_args(kind) if isinstance(each, type) and issubclass(each, BaseModel))
    return next(options, kind)


def check_explored(spec: SweepSpec, fail: Fail) -> None:
    """Every key of `grid`, `parameters` and `when` exists, stands once, and all its values are valid for its field."""
    explored = [*spec.grid, *spec.parameters]
    for section, keys in (("grid", spec.grid), ("parameters", spec.parameters)):
        for key in keys:
            _check_key(key, (section, key), fail)
            for other in explored:
                if key.startswith(f"{other}."):
                    raise fail(f"is a part of {other!r}, which is explored too", (section, key))
    for key in spec.parameters:
        if key in spec.grid:
            raise fail("also stands in `grid`: explore it in one place", ("parameters", key))
    for key, values in spec.grid.items():
        if not values:
            raise fail("needs at least one value", ("grid", key))
        _check_distinct(values, ("grid", key), fail)
        for index, value in enumerate(values):
            _check_value(spec, key, value, ("grid", key, index), fail)
    for key, parameter in spec.parameters.items():
        _check_range(spec, key, parameter, fail)
    _check_conditions(spec, fail)


def _check_key(key: str, loc: Loc, fail: Fail) -> None:
    instead = {"budget": "budgets", "budgets": "budgets", "seed": "seeds", "seeds": "seeds"}.get(key.split(".")[0])
    if instead:
        raise fail(f"is explored by the top-level key `{instead}`, a list", loc)
    kind: Any = TrialSpec
    done: list[str] = []
    for part in key.split("."):
        known = [name for name in known_keys(kind, ()) if name not in ("budget", "seed")]
        kind = _step(kind, part)
        if kind is None:
            prefix = "".join(f"{name}." for name in done)
            listing = ", ".join(prefix + name for name in known) or "none below it"
            hint = nearest(part, known)
            raise fail(f"no such key of a trial; known are {listing}{hint}", loc)
        done.append(part)


def _check_range(spec: SweepSpec, key: str, parameter: Parameter, fail: Fail) -> None:
    loc: Loc = ("parameters", key)
    if parameter.values is not None:
        _check_distinct(parameter.values, (*loc, "values"), fail)
        for index, value in enumerate(parameter.values):
            _check_value(spec, key, value, (*loc, "values", index), fail)
        return
    low, high = parameter.min, parameter.max
    assert low is not None
    assert high is not None
    if parameter.integer and (low != int(low) or high != int(high)):
        raise fail("`integer` needs whole numbers as `min` and `max`", loc)
    _check_value(spec, key, int(low) if parameter.integer else low, (*loc, "min"), fail)
    _check_value(spec, key, int(high) if parameter.integer else high, (*loc, "max"), fail)
    if not parameter.integer:
        between = low + (high - low) * 0.3719
        _check_value(spec, key, between, loc, fail, "takes whole numbers: add `integer: true`")


def _check_value(spec: SweepSpec, key: str, value: Any, loc: Loc, fail: Fail, remedy: str = "") -> None:
    """`value` is valid for the field `key` of a trial; other faults of that trial are another check's work."""
    path = tuple(key.split("."))
    try:
        spec.trial({"budget": spec.budgets[0], "seed": spec.seeds[0]}, {key: value})
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if detail["loc"][: len(path)] == path:
                message = " ".join(detail["msg"].removeprefix("Value error, ").split())
                raise fail(remedy or f"{message[:1].lower()}{message[1:]}, not {value!r}", loc) from None


def _check_distinct(values: Sequence[Any], loc: Loc, fail: Fail) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise fail(f"stands twice, first as item {values.index(value)}", (*loc, index))


def _check_conditions(spec: SweepSpec, fail: Fail) -> None:
    choices = {**{key: p.values for key, p in spec.parameters.items()}, **spec.grid}
    for key, parameter in spec.parameters.items():
        for other, wanted in (parameter.when or {}).items():
            loc: Loc = ("parameters", key, "when", other)
            if other not in choices or other == key:
                known = [name for name in choices if name != key]
                listing = ", ".join(known) or "none"
                raise fail(f"not another explored key; explored are {listing}{nearest(other, known)}", loc)
            allowed = choices[other]
            if allowed is None:
                raise fail(f"{other!r} has a range; a condition needs a key with `values`", loc)
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if value not in allowed:
                    raise fail(f"{value!r} is none of its values {list(allowed)}", loc)
    if len(list(suggestion_order(spec.parameters))) < len(spec.parameters):
        key = next(key for key in spec.parameters if key not in set(suggestion_order(spec.parameters)))
        raise fail("the conditions go round in a circle", ("parameters", key, "when"))


def check_combinations(spec: SweepSpec, fail: Fail) -> None:
    """What fields say about each other (micro_batch <= batch_size) holds at the ends of every pair of parameters.

    A suggestion that breaks such a rule would else end the sweep in the middle. A pair is tried only where its
    conditions can hold.
    """
    for one, two in itertools.combinations_with_replacement(spec.parameters, 2):
        if one.split(".")[0] != two.split(".")[0]:
            continue
        for first, second in itertools.product(_ends(spec.parameters[one]), _ends(spec.parameters[two])):
            params = _with_conditions(spec, {one: first, two: second})
            if params is None or (one == two and first != second):
                continue
            try:
                spec.trial(spec.cells[0], params)
            except ValidationError as error:
                message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
                raise fail(
                    f"{' '.join(message.split())}: exclude it by the range or by `when`", ("parameters", two)
                ) from None


def _ends(parameter: Parameter) -> Sequence[Any]:
    if parameter.values is not None:
        return parameter.values
    return [int(end) if parameter.integer else end for end in (parameter.min, parameter.max) if end is not None]


def _with_conditions(spec: SweepSpec, params: dict[str, Any]) -> dict[str, Any] | None:
    """The values with those that their conditions ask for, or None where these contradict each other."""
    found = dict(params)
    waiting = list(params)
    while waiting:
        parameter = spec.parameters.get(waiting.pop())
        for other, wanted in (parameter.when or {}).items() if parameter else ():
            allowed = wanted if isinstance(wanted, list) else [wanted]
            if other not in found:
                found[other] = allowed[0]
                waiting.append(other)
            elif found[other] not in allowed:
                return None
    return found


def suggestion_order(parameters: dict[str, Parameter]) -> Iterator[str]:
    """The parameters in the file's order, but each after those its `when` names; those in a circle are left out."""
    waiting = dict(parameters)
    while waiting:
        ready = [key for key, p in waiting.items() if not any(other in waiting for other in p.when or {})]
        if not ready:
            return
        yield ready[0]
        del waiting[ready[0]]


def check_cells(spec: SweepSpec, fail: Fail) -> None:
    """Every cell is a valid trial and none stands twice."""
    _check_distinct(spec.budgets, ("budgets",), fail)
    _check_distinct(spec.seeds, ("seeds",), fail)
    for cell in spec.cells:
        try:
            spec.trial(cell, {})
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            loc: Loc = detail["loc"]
            if loc[:1] == ("seed",):
                loc = ("seeds", spec.seeds.index(cell["seed"]))
            explored = [key for key in spec.grid if key.startswith(f"{'.'.join(map(str, loc))}.")]
            if explored:  # the file's own values passed: it is one of the grid's
                loc = ("grid", explored[0])
            message = detail["msg"].removeprefix("Value error, ")
            raise fail(" ".join(message.split()), loc) from None
