"""What a sweep explores: `grid`, `parameters`, `when` and `points`, checked against the fields of a trial."""

from __future__ import annotations

import itertools
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ofb_ray.config import Parameter, SweepSpec, TrialSpec
from ofb_ray.config.space import applies, expand, expand_all, fields, inside, suggestion_order
from ofb_ray.errors import InputError, nearest

Loc = tuple[str | int, ...]
Fail = Callable[[str, Loc], InputError]


def known_keys(kind: Any, loc: Loc) -> list[str]:
    """List the field names of the spec at `loc` inside the type `kind`; empty where anything goes."""
    for part in loc:
        kind = _step(kind, part)
    kind = _present(kind)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _step(kind: Any, part: str | int) -> Any:
    """Return the type one level below `kind`: of a field, a tuple's item, a dict's value. None: no such thing."""
    kind = _present(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return field.annotation if field else None
    if typing.get_origin(kind) in (tuple, dict):
        arguments = typing.get_args(kind)
        return arguments[0] if typing.get_origin(kind) is tuple else arguments[1]
    return None


def _present(kind: Any) -> Any:
    """Return the spec in an optional one: DistillSpec of DistillSpec | None."""
    if typing.get_origin(kind) is not types.UnionType:
        return kind
    options = (each for each in typing.get_args(kind) if isinstance(each, type) and issubclass(each, BaseModel))
    return next(options, kind)


def check_explored(spec: SweepSpec, fail: Fail) -> None:
    """Check that all keys of `grid`, `parameters`, `when` and `points` exist, stand once and take all their values."""
    _check_keys(spec, fail)
    for key, values in spec.grid.items():
        if not values:
            raise fail("needs at least one value", ("grid", key))
        _check_distinct(values, ("grid", key), fail)
        for index, value in enumerate(values):
            _check_value(spec, key, value, ("grid", key, index), fail)
    for key, parameter in spec.parameters.items():
        _check_range(spec, key, parameter, fail)
    _check_conditions(spec, fail)
    _check_points(spec, fail)


def _check_keys(spec: SweepSpec, fail: Fail) -> None:
    """Check that every field that is explored exists and is explored by one key alone."""
    keys: list[Loc] = [(section, key) for section in ("grid", "parameters") for key in getattr(spec, section)]
    owners: dict[str, Loc] = {}
    for loc in keys:
        for name in fields(str(loc[1])):
            _check_key(name, loc, fail)
            if name not in owners:
                owners[name] = loc
            elif loc[0] != owners[name][0] and loc[1] == owners[name][1]:
                raise fail("also stands in `grid`: explore it in one place", loc)
            else:
                raise fail(f"{name} stands twice, first in {owners[name][0]}.{owners[name][1]}: explore it once", loc)
    for name, loc in owners.items():
        for other in owners:
            if name.startswith(f"{other}."):
                raise fail(f"is a part of {other!r}, which is explored too", loc)


def _check_key(key: str, loc: Loc, fail: Fail) -> None:
    instead = {"budget": "budgets", "budgets": "budgets", "seed": "seeds", "seeds": "seeds"}.get(key.split(".")[0])
    if instead:
        raise fail(f"is explored by the top-level key `{instead}`, a list", loc)
    if key.split(".")[0] == "chain":
        raise fail("is not explored: the top-level key `chain` is the same for all trials", loc)
    kind: Any = TrialSpec
    done: list[str] = []
    for part in key.split("."):
        known = [name for name in known_keys(kind, ()) if name not in ("budget", "seed", "chain")]
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
    if len(fields(key)) > 1:
        raise fail("moves several fields together: give `values`, a list for each choice, not a range", loc)
    if spec.sampler.name == "grid":
        raise fail("sampler `grid` tries every value: give `values`, not a range", loc)
    low, high = parameter.min, parameter.max
    assert low is not None
    assert high is not None
    if parameter.integer and (low != int(low) or high != int(high)):
        raise fail("`integer` needs whole numbers as `min` and `max`", loc)
    _check_value(spec, key, int(low) if parameter.integer else low, (*loc, "min"), fail)
    _check_value(spec, key, int(high) if parameter.integer else high, (*loc, "max"), fail)
    kinds = _kinds(key)
    if not parameter.integer and not kinds & {float, Any}:
        raise fail("takes whole numbers: add `integer: true`" if int in kinds else "takes no range: give `values`", loc)


def _kinds(key: str) -> set[Any]:
    """Return the types that a field of a trial takes, as its annotation has them: `int | None` is int and NoneType."""
    kind: Any = TrialSpec
    for part in key.split("."):
        kind = _step(kind, part)
    return set(typing.get_args(kind)) if typing.get_origin(kind) in (types.UnionType, typing.Union) else {kind}


def _check_value(spec: SweepSpec, key: str, value: Any, loc: Loc, fail: Fail) -> None:
    """Check that `value` is valid for the field `key` of a trial; other faults of that trial are another check's."""
    count = len(fields(key))
    if count > 1 and (not isinstance(value, list) or len(value) != count):
        raise fail(f"needs a list of {count} values, one for each of {key}, not {value!r}", loc)
    for name, each in expand(key, value).items():
        path = tuple(name.split("."))
        try:
            spec.trial({"budget": spec.budgets[0], "seed": spec.seeds[0]}, {name: each})
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if detail["loc"][: len(path)] == path:
                    message = _message(detail)
                    where = f"{name}: " if count > 1 else ""
                    raise fail(f"{where}{message[:1].lower()}{message[1:]}, not {each!r}", loc) from None


def _message(detail: Any) -> str:
    """Write one of pydantic's errors as one line."""
    return " ".join(detail["msg"].removeprefix("Value error, ").split())


def _check_distinct(values: Sequence[Any], loc: Loc, fail: Fail) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise fail(f"stands twice, first as item {values.index(value)}", (*loc, index))


def _check_conditions(spec: SweepSpec, fail: Fail) -> None:
    choices = {**{key: p.values for key, p in spec.parameters.items()}, **spec.grid}
    for key, parameter in spec.parameters.items():
        for other, wanted in (parameter.when or {}).items():
            loc: Loc = ("parameters", key, "when", other)
            if len(fields(other)) > 1 or any(other in fields(name) for name in choices if name != other):
                raise fail("moves several fields together: a condition needs a key of one field", loc)
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


def _check_points(spec: SweepSpec, fail: Fail) -> None:
    """Check that every point sets parameters to values that they may take together, and that trials suffice for all."""
    if spec.points and spec.sampler.name == "grid":
        raise fail("sampler `grid` tries every combination: leave `points` out", ("points",))
    _check_distinct(spec.points, ("points",), fail)
    for index, point in enumerate(spec.points):
        if not point:
            raise fail("is empty: give the value of at least one parameter", ("points", index))
        for key, value in point.items():
            loc: Loc = ("points", index, key)
            if key not in spec.parameters:
                known = list(spec.parameters)
                raise fail(f"is none of `parameters`: {', '.join(known) or 'none'}{nearest(key, known)}", loc)
            parameter = spec.parameters[key]
            if not inside(parameter, value):
                allowed = f"from {parameter.min} to {parameter.max}" + " in whole numbers" * parameter.integer
                allowed = allowed if parameter.values is None else f"one of {list(parameter.values)}"
                raise fail(f"may be {allowed}, not {value!r}", loc)
            if set(parameter.when or {}) <= set(point) and not applies(parameter, point):
                raise fail("its condition does not hold at this point: leave it out", loc)
        try:
            spec.trial(spec.cells[0], expand_all(point))
        except ValidationError as error:
            raise fail(_message(error.errors(include_url=False)[0]), ("points", index)) from None
    if spec.points and (spec.trials or 1) <= len(spec.points):
        more = len(spec.points) + 1
        raise fail(f"the file's own values and {len(spec.points)} points need `trials: {more}` or more", ("points",))


def check_combinations(spec: SweepSpec, fail: Fail) -> None:
    """Check what fields say about each other (micro_batch <= batch_size) at the ends of every pair of parameters.

    A suggestion that breaks such a rule would else end the sweep in the middle. A pair is tried only where its
    conditions can hold.
    """
    for one, two in itertools.combinations_with_replacement(spec.parameters, 2):
        if not {name.split(".")[0] for name in fields(one)} & {name.split(".")[0] for name in fields(two)}:
            continue
        for first, second in itertools.product(_ends(spec.parameters[one]), _ends(spec.parameters[two])):
            params = _with_conditions(spec, {one: first, two: second})
            if params is None or (one == two and first != second):
                continue
            try:
                spec.trial(spec.cells[0], expand_all(params))
            except ValidationError as error:
                message = _message(error.errors(include_url=False)[0])
                raise fail(f"{message}: exclude it by the range or by `when`", ("parameters", two)) from None


def _ends(parameter: Parameter) -> Sequence[Any]:
    if parameter.values is not None:
        return parameter.values
    return [int(end) if parameter.integer else end for end in (parameter.min, parameter.max) if end is not None]


def _with_conditions(spec: SweepSpec, params: dict[str, Any]) -> dict[str, Any] | None:
    """Add to the values those that their conditions ask for; None where these contradict each other."""
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


def check_cells(spec: SweepSpec, fail: Fail) -> None:
    """Check that every cell is a valid trial and that none stands twice."""
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
            above = f"{'.'.join(map(str, loc))}."
            explored = [key for key in spec.grid if any(name.startswith(above) for name in fields(key))]
            if explored:  # the file's own values passed: it is one of the grid's
                loc = ("grid", explored[0])
            raise fail(_message(detail), loc) from None
