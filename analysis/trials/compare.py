"""Read specs by dotted keys, and tell which trials learned from the same data, so that their accuracies compare."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ofb_ray.results.records import Record


def spec_value(record: Record, key: str) -> Any:
    """Return the value of a dotted key of the record's spec, None where a level is missing."""
    tree: Any = record.spec
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def spec_without(record: Record, keys: Iterable[str], *, anywhere: bool = False) -> str:
    """Return the record's spec without these dotted keys, as text that can be compared.

    Args:
        anywhere: whether the same data count as the same wherever they lie; see `data_of`.
    """
    tree = json.loads(json.dumps(record.spec | {"data": json.loads(data_of(record))} if anywhere else record.spec))
    for key in keys:
        *parents, last = key.split(".")
        part: Any = tree
        for parent in parents:
            part = part.get(parent) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part.pop(last, None)
    return json.dumps(tree, sort_keys=True)


def data_differ(trials: Iterable[tuple[str, Record]]) -> bool:
    """Tell whether trials, each with its sweep, have different data sets, or sweeps use one set in different ways.

    Within a sweep, how a set is used (its augmentation, say) may be what is explored.
    """
    uses = [(sweep, data_set_of(record), data_of(record)) for sweep, record in trials]
    sweeps, sets, data = (len(set(each)) for each in zip(*uses, strict=True)) if uses else (0, 0, 0)
    return sets > 1 or (sweeps > 1 and data > 1)


def data_set_of(record: Record) -> tuple[str, str]:
    """Return the name of the data set, and of a folder of pictures the folder's."""
    name = spec_value(record, "data.name")
    return str(name), Path(str(spec_value(record, "data.root"))).name if name == "folder" else ""


def data_of(record: Record) -> str:
    """Return the data of a trial as JSON, wherever they lie: of a folder of pictures its name counts, not its path."""
    data = spec_value(record, "data")
    tree = dict(data) if isinstance(data, dict) else {}
    root = tree.pop("root", None)
    if tree.get("name") == "folder" and root is not None:
        tree["root"] = Path(str(root)).name
    return json.dumps(tree, sort_keys=True)
