"""A file of latency tables: what `ofb-ray latency --table` writes, and what anybody may write for a device of theirs.

    {"format": 1, "model": "vit_tiny_patch16_224", "device_name": "...", ...
     "tables": [{"axes": [], "ns": 120000},
                {"axes": ["blocks.*.attn"], "sizes": [[[1, 16], [3, 64]]], "ns": [20000, 60000]},
                {"axes": ["embed", "blocks.*.mlp"], "sizes": [[[1, 96], [1, 192]], [[1, 192], [1, 768]]],
                 "ns": [[9000, 30000], [17000, 60000]]}]}

A size is [heads, units in each head]; `ns` are nanoseconds of a pass, a row for each size of the first axis. An axis is
a name, a pattern, or a list of them: each gets the table. Sizes between those of a table are interpolated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ofb_ray.backbones.base import Backbone
from ofb_ray.errors import BrokenFileError, InputError
from ofb_ray.inputs import read_json_file
from ofb_ray.method.axis import Axis, Width
from ofb_ray.method.cost import Table
from ofb_ray.results.atomic import write_json
from ofb_ray.results.files import check_model

FORMAT = 1
# Of a sweep, which names the file.
KEY = "latency.table"
Size = tuple[int, int]
Floats = NDArray[np.float64]


class TableEntry(BaseModel):
    """One table of the file: its axes, their sizes, and nanoseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    axes: tuple[str | tuple[str, ...], ...] = Field(max_length=2)
    sizes: tuple[tuple[Size, ...], ...] = ()
    ns: Any


class LatencyTable(BaseModel):
    """The file: where its times come from, how far they can be trusted, and the tables."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())
    format: int = Field(FORMAT, ge=1, le=FORMAT)
    model: str | None = None
    image: tuple[int, ...] | None = None
    batch: int | None = None
    backend: str = "unknown"
    device_name: str = "unknown"
    threads: int | None = None
    precision: str | None = None
    versions: dict[str, str] = {}
    dense_ms: float | None = None
    networks: int | None = None
    repeated: int | None = None
    typical_error: float | None = None
    large_error: float | None = None
    seconds: float | None = None
    tables: tuple[TableEntry, ...] = Field(min_length=1)


def write_table(path: Path, facts: dict[str, Any], tables: Sequence[Table]) -> None:
    """Write a file, atomically; equal tables are written once.

    Args:
        facts: what the file says beside its tables, by the names of `LatencyTable`.
    """
    alike: dict[bytes, tuple[Table, list[list[str]]]] = {}
    for table in tables:
        # Axes that lead pairs are few: the tables of one of them that are equal differ in their second axis.
        key = repr((table.variables[:-1], table.sizes)).encode() + table.cost.tobytes()
        _, names = alike.setdefault(key, (table, [[] for _ in table.variables]))
        for place, name in enumerate(table.variables):
            names[place] += [name] if name not in names[place] else []
    entries = [
        {"axes": names, "sizes": [[list(size) for size in sizes] for sizes in table.sizes], "ns": table.cost.tolist()}
        for table, names in alike.values()
    ]
    write_json(path, {"format": FORMAT, **facts, "tables": entries})


def read_table(path: Path) -> LatencyTable:
    """Read a file.

    Raises:
        InputError: there is none, or it is no such file.
    """
    try:
        return check_model(LatencyTable, read_json_file(path), str(path))
    except OSError as error:
        remedy = "make it with `ofb-ray latency SWEEP --table FILE` on the target"
        raise InputError(f"{path} cannot be read ({error.strerror}): {remedy}", key=KEY) from None
    except BrokenFileError as error:
        raise InputError(str(error), key=KEY) from None


def tables_of(found: LatencyTable, backbone: Backbone, model: str, file: str) -> tuple[Table, ...]:
    """Put the tables of a file onto the candidates of a backbone.

    Args:
        model: the name of the network.
        file: where they come from, for errors.
    Raises:
        InputError: they are another network's, or do not reach all candidates.
    """
    if found.model is not None and found.model.partition(".")[0] != model.partition(".")[0]:
        raise _fault(f"is the table of {found.model}, not of {model}: make one for it", file, "model")
    tables = []
    for place, entry in enumerate(found.tables):
        key = f"tables.{place}"
        for axes in itertools.product(*(_matching(pattern, backbone, file, key) for pattern in entry.axes)):
            sizes = tuple(tuple(axis.candidates) for axis in axes)
            cost = _on(entry, axes, file, key)
            tables.append(Table(tuple(axis.name for axis in axes), sizes, np.rint(cost).astype(np.int64)))
    return tuple(tables)


def _fault(text: str, file: str, key: str) -> InputError:
    """An error of the file, at the key of the sweep that names it."""
    return InputError(f"{file}: {key}: {text}", key=KEY)


def _matching(pattern: str | tuple[str, ...], backbone: Backbone, file: str, key: str) -> list[Axis]:
    patterns = (pattern,) if isinstance(pattern, str) else pattern
    found = [axis for axis in backbone.axes if any(fnmatchcase(axis.name, each) for each in patterns)]
    if not found:
        known = ", ".join(axis.name for axis in backbone.axes[:4])
        raise _fault(f"no axis is called {' or '.join(patterns)}; there are {known}, ...", file, key)
    return found


def _on(entry: TableEntry, axes: Sequence[Axis], file: str, key: str) -> Floats:
    """Interpolate a table on the candidates of its axes."""
    try:
        value = np.array(entry.ns, dtype=np.float64)
    except (TypeError, ValueError):
        raise _fault("ns are no numbers in rows of one length", file, f"{key}.ns") from None
    wanted = tuple(map(len, entry.sizes))
    if len(entry.sizes) != len(axes) or value.shape != wanted:
        shape = " x ".join(map(str, wanted)) or "one number"
        raise _fault(f"its sizes make it {shape}, and ns is {value.shape}", file, f"{key}.ns")
    if (value < 0).any() or (value > 1e15).any():
        raise _fault("a time lies between 0 and 10^15 ns", file, f"{key}.ns")
    for place, (axis, sizes) in enumerate(zip(axes, entry.sizes, strict=True)):
        weight = np.array([_between(size, sizes, axis.name, file, key) for size in axis.candidates])
        value = np.moveaxis(np.tensordot(weight, value, axes=(1, place)), 0, place)
    return value


def _between(size: Width, sizes: Sequence[Size], axis: str, file: str, key: str) -> Floats:
    """Weigh the sizes of a table so that they give one in between: linear in heads and in the units of a head."""
    weights = np.zeros(len(sizes))
    if tuple(size) in sizes:
        weights[sizes.index(tuple(size))] = 1.0
        return weights
    heads, widths = (sorted({each[part] for each in sizes if each[0]}) for part in (0, 1))
    reaches = heads and heads[0] <= size.heads <= heads[-1] and widths[0] <= size.width <= widths[-1]
    try:
        if not reaches:
            raise ValueError
        for head, part in _nearest(size.heads, heads):
            for width, share in _nearest(size.width, widths):
                weights[sizes.index((head, width))] += part * share
    except ValueError:
        text = f"does not reach {axis} at {size.heads} x {size.width}: list its sizes, or those around it on a grid"
        raise _fault(text, file, f"{key}.sizes") from None
    return weights


def _nearest(value: int, known: Sequence[int]) -> list[tuple[int, float]]:
    """The known values on both sides, with their weights."""
    below, above = max(each for each in known if each <= value), min(each for each in known if each >= value)
    share = 0.0 if above == below else (value - below) / (above - below)
    return [(below, 1.0 - share), *([(above, share)] if share else [])]
