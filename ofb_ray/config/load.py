"""Sweep files: YAML and `--set` overrides in, a checked `SweepSpec` or one `InputError` with file, line and key out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ofb_ray.config import Json, Parameter, SweepSpec, yaml12
from ofb_ray.config.check_explored import check_cells, check_combinations, check_explored, known_keys
from ofb_ray.config.modules import make_importable
from ofb_ray.config.shipped import find_sweep
from ofb_ray.config.space import fields
from ofb_ray.errors import InputError, nearest
from ofb_ray.inputs import SWEEP_BYTES, read_text

Loc = tuple[str | int, ...]
_OVERRIDE = "--set"


class KeyOrigins:
    """Know where each key of a sweep comes from, so that an error can name it.

    Args:
        file: the sweep file, as the user wrote it.
        lines: the line of every key in it.
    """

    def __init__(self, file: str, lines: yaml12.Lines) -> None:
        self.file, self.lines = file, lines
        self.flags: dict[Loc, str] = {}

    def override(self, loc: Loc, flag: str) -> None:
        """Note that `loc` and all below it come from the command line's `flag` and no more from the file."""
        self.lines = {path: line for path, line in self.lines.items() if path[: len(loc)] != loc}
        self.flags[loc] = flag

    def error(self, message: str, loc: Loc) -> InputError:
        """Make an InputError at the key `loc`, or at the closest key above it that was written down."""
        key = ".".join(str(part) for part in loc) or None
        for length in range(len(loc), -1, -1):
            if length and loc[:length] in self.flags:
                return InputError(message, file=self.flags[loc[:length]], key=key)
            # A level that only a deeper override made: `--set search.distil.share=0.2`.
            if length == len(loc) and loc not in self.lines:
                for path, flag in self.flags.items():
                    if path[:length] == loc:
                        return InputError(message, file=flag, key=key)
            if length and loc[:length] in self.lines:
                return InputError(message, file=self.file, line=self.lines[loc[:length]], key=key)
        return InputError(message, file=self.file, key=key)

    @contextlib.contextmanager
    def located(self) -> Iterator[None]:
        """Locate bad input that shows only later, and names a key of the sweep, in the file or among the flags."""
        try:
            yield
        except InputError as error:
            if error.file or not error.key or error.key.startswith("--"):
                raise
            raise self.error(error.message, tuple(error.key.split("."))) from None


def load_sweep(
    path: str | Path, overrides: Sequence[str] = (), name: str | None = None, storage: str | None = None
) -> SweepSpec:
    """Load the sweep file or shipped sweep `path`; see `load_with_origins`.

    Raises:
        InputError: anything about it is wrong; one line with file, line, key and what is allowed.
    """
    return load_with_origins(path, overrides, name, storage)[0]


def load_with_origins(
    path: str | Path, overrides: Sequence[str] = (), name: str | None = None, storage: str | None = None
) -> tuple[SweepSpec, KeyOrigins]:
    """Load a sweep and where its keys come from, for errors that show later.

    Args:
        path: a YAML file, or the name of a shipped sweep.
        overrides: `a.b=value` each, put in from left to right.
        name: another name than the file's.
        storage: another storage than the file's.
    Raises:
        InputError: anything about it is wrong; one line with file, line, key and what is allowed.
    """
    tree, origins = read(path, overrides, name, storage)
    try:
        spec = SweepSpec.model_validate(tree)
    except ValidationError as error:
        raise _friendly(error, origins) from None
    check_explored(spec, origins.error)
    check_cells(spec, origins.error)
    check_combinations(spec, origins.error)
    return spec, origins


def read(
    path: str | Path, overrides: Sequence[str] = (), name: str | None = None, storage: str | None = None
) -> tuple[Json, KeyOrigins]:
    """Read the unchecked tree of a sweep file with its overrides, and where its keys come from.

    Raises:
        InputError: the file cannot be read, is no YAML mapping, or an override has no place in it.
    """
    path = find_sweep(path)
    text = read_text(path, SWEEP_BYTES, "give the path of a YAML file")
    make_importable(path.parent)  # a function that `data.name` names may stand there
    tree, lines = yaml12.load(text, str(path))
    if not isinstance(tree, dict):
        raise InputError("a sweep file is a mapping of keys such as `name` and `budgets`", file=str(path), line=1)
    origins = KeyOrigins(str(path), lines)
    for override in overrides:
        _override(tree, override, origins)
    for key, value in (("name", name), ("storage", storage)):
        if value is not None:
            tree[key] = value
            origins.override((key,), f"--{key}")
    return tree, origins


def trial_error(error: InputError, origins: KeyOrigins, budget: int) -> InputError:
    """Locate `error` of a trial of budget number `budget` (its key is one of TrialSpec's) in the sweep file."""
    parts = tuple((error.key or "").split(".")) if error.key else ()
    if parts[:1] == ("budget",):
        return origins.error(error.message, ("budgets", budget))
    if parts[:1] == ("seed",):
        return origins.error(error.message, ("seeds",))
    for path in origins.lines:
        if len(path) == 2 and path[0] in ("grid", "parameters") and ".".join(parts) in fields(str(path[1])):
            return origins.error(error.message, path)
    return origins.error(error.message, parts)


def _override(tree: Json, override: str, origins: KeyOrigins) -> None:
    dotted, equals, text = override.partition("=")
    if not equals or not all(dotted.split(".")):
        raise InputError(f"{override!r} is not of the form a.b=value, such as search.epochs=3", file=_OVERRIDE)
    value = yaml12.parse_scalar(text, _OVERRIDE, dotted)
    loc = _override_path(dotted)
    level: Any = tree
    for depth, part in enumerate(loc[:-1]):
        level = level.setdefault(part, {})
        if not isinstance(level, dict):
            above = ".".join(loc[: depth + 1])
            raise InputError(f"{above} is not a mapping: set it as a whole, `{above}=...`", file=_OVERRIDE, key=dotted)
    level[loc[-1]] = value
    origins.override(loc, _OVERRIDE)


def _override_path(dotted: str) -> tuple[str, ...]:
    """Split the key of an override; the names in `grid` and `parameters` contain dots themselves."""
    head, *rest = dotted.split(".")
    if head == "grid" and rest:
        return head, ".".join(rest)
    if head == "parameters" and rest:
        if rest[-1] in Parameter.model_fields and len(rest) > 1:
            return head, ".".join(rest[:-1]), rest[-1]
        return head, ".".join(rest)
    return (head, *rest)


def _friendly(error: ValidationError, origins: KeyOrigins) -> InputError:
    """Write the first of pydantic's errors as one line; an unknown key goes first, as it explains a missing one."""
    details = error.errors(include_url=False)
    detail = next((item for item in details if item["type"] == "extra_forbidden"), details[0])
    loc: Loc = detail["loc"]
    if detail["type"] == "extra_forbidden":
        known = sorted(known_keys(SweepSpec, loc[:-1]))
        hint = nearest(str(loc[-1]), known) or ";"
        return origins.error(f"unknown key{hint} known are {', '.join(known)}", loc)
    if detail["type"] == "missing":
        return origins.error("is required", loc)
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] != "value_error":
        message = f"{message[:1].lower()}{message[1:]}, not {detail['input']!r}".replace("valid tuple", "list", 1)
    return origins.error(" ".join(message.split()), loc)
