"""Import and call `package.module:function`, a data set of a user's own; what goes wrong is one line."""

from __future__ import annotations

import importlib
import inspect
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ofb_ray.config.modules import make_importable
from ofb_ray.data.items import one_line
from ofb_ray.errors import InputError, nearest

_KEY = "data.name"


def call(name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Call the function `name` ("package.module:function"); its datasets by part: train, test and perhaps val.

    Raises:
        InputError: no such module or function, arguments that it does not take, it fails, or it returns something else.
    """
    function = _function(name)
    try:
        inspect.signature(function).bind(**args)
    except TypeError as error:
        raise InputError(f"{name}{inspect.signature(function)}: {error}", key="data.args") from None
    try:
        made = function(**args)
    except InputError:
        raise
    except Exception as error:  # whatever a user's code raises
        raise InputError(f"{name} failed: {one_line(error)}{_where(error)}", key=_KEY) from error
    if isinstance(made, tuple | list) and len(made) in (2, 3):
        return dict(zip(("train", "test") if len(made) == 2 else ("train", "val", "test"), made, strict=True))
    shape = f"{len(made)} things" if isinstance(made, tuple | list) else f"one {type(made).__name__}"
    raise InputError(
        f"{name} returned {shape}: it must return (train, test) or (train, val, test), map-style datasets", key=_KEY
    )


def _function(name: str) -> Callable[..., Any]:
    dotted, _, attribute = name.partition(":")
    module = _module(dotted)
    found = getattr(module, attribute, None)
    if found is None:
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        raise InputError(f"module {dotted} has no {attribute!r}{nearest(attribute, known)}", key=_KEY)
    if not callable(found):
        raise InputError(f"{name} is of type {type(found).__name__}, no function", key=_KEY)
    function: Callable[..., Any] = found
    return function


def _module(dotted: str) -> ModuleType:
    make_importable(os.getcwd())
    importlib.invalidate_caches()
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        if error.name is not None and (dotted == error.name or dotted.startswith(f"{error.name}.")):
            raise InputError(
                f"no module {error.name!r} (in {os.getcwd()}, beside the sweep file, or installed): it must be "
                "importable on every machine",
                key=_KEY,
            ) from None
        raise InputError(f"{dotted} cannot be imported: {one_line(error)}{_where(error)}", key=_KEY) from error
    except Exception as error:  # whatever a user's code raises
        raise InputError(f"{dotted} cannot be imported: {one_line(error)}{_where(error)}", key=_KEY) from error


def _where(error: BaseException) -> str:
    """The file and line that raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name} line {frames[-1].lineno})" if frames else ""
