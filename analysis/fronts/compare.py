"""Which trials learned from the same data, so that their accuracies compare."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ofb_ray.results.records import Record


def differ(trials: Iterable[tuple[str, Record]]) -> bool:
    """Whether trials, each with its sweep, have different data sets, or different sweeps the same set in another way.

    Within a sweep, how a set is used (its augmentation, say) may be what is explored.
    """
    found = [(sweep, set_of(record), data_of(record)) for sweep, record in trials]
    sweeps, sets, data = (len(set(each)) for each in zip(*found, strict=True)) if found else (0, 0, 0)
    return sets > 1 or (sweeps > 1 and data > 1)


def without(tree: dict[str, Any], keys: Iterable[str]) -> str:
    """A spec without these dotted keys, as text that can be compared."""
    tree = json.loads(json.dumps(tree))
    for key in keys:
        *parents, last = key.split(".")
        part: Any = tree
        for parent in parents:
            part = part.get(parent) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part.pop(last, None)
    return json.dumps(tree, sort_keys=True)


def set_of(record: Record) -> tuple[str, str]:
    """The name of the data set, and of a folder of pictures the folder's."""
    data = record.spec.get("data")
    tree = data if isinstance(data, dict) else {}
    return str(tree.get("name")), Path(str(tree.get("root"))).name if tree.get("name") == "folder" else ""


def data_of(record: Record) -> str:
    """The data of a trial as text, wherever they lie: of a folder of pictures its name counts, not the path to it."""
    data = record.spec.get("data")
    tree = dict(data) if isinstance(data, dict) else {}
    root = tree.pop("root", None)
    if tree.get("name") == "folder" and root is not None:
        tree["root"] = Path(str(root)).name
    return json.dumps(tree, sort_keys=True)
