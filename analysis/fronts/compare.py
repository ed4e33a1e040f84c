"""Which trials learned from the same data, so that their accuracies compare."""

from __future__ import annotations

import json
from pathlib import Path

from ofb_ray.records import Record


def data_of(record: Record) -> str:
    """The data of a trial as text, wherever they lie: of a folder of pictures its name counts, not the path to it."""
    data = record.spec.get("data")
    tree = dict(data) if isinstance(data, dict) else {}
    root = tree.pop("root", None)
    if tree.get("name") == "folder" and root is not None:
        tree["root"] = Path(str(root)).name
    return json.dumps(tree, sort_keys=True)
