"""Write a sketch as a sweep file with comments: why each value, and what to change elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ofb_ray.commands.starter.choose import Sketch
from ofb_ray.config import yaml12

WIDTH = 114
_MOST_NAMES = 12


def sweep_text(sketch: Sketch, command: str, file: str, time: str) -> str:
    """Write the sweep file.

    Args:
        command: that made it, as the user typed it.
        file: its own name.
        time: the estimate, in a line.
    """
    return "\n".join(_lines(sketch, command, file, time)) + "\n"


def _lines(sketch: Sketch, command: str, file: str, time: str) -> Iterator[str]:
    tree, network = sketch.tree, sketch.network
    yield from (f"# {line}" for line in ("Made by", f"  {command}", f"for {sketch.machine.words.partition(': ')[2]}."))
    yield from (f"# {line}" for line in (time, "Look, then run:", f"  ofb-ray sweep {file} --dry-run"))
    yield from (f"# {line}" for line in (f"  ofb-ray sweep {file}", "Every key: ofb_ray's docs, Sweep keys."))
    yield f"name: {_value(tree['name'])} # its results: results/{tree['name']}"
    yield f"question: {_value(tree['question'])}"
    yield ""
    yield "model:"
    yield from _mapping(tree["model"])
    yield from (f"  # {note}" for note in network.notes)
    yield "data:"
    yield f"  # {_classes(sketch)}"
    yield from _mapping(tree["data"], _data_notes(sketch))
    yield ""
    start = "the weights are there, a new classifier is trained" if network.trained else "from random weights"
    yield f"# Dense network: {start}."
    yield "# Search and fine-tuning are one long schedule: the search keeps its learning rate."
    yield from (f"{key}: {_value(tree[key])}" for key in ("dense", "search", "finetune"))
    yield "# For a result to show: twice the epochs and more, and `seeds: [0, 1, 2]`."
    yield ""
    yield f"budgets: {_value(tree['budgets'])} # shares of the dense network's MACs"
    if "chain" in tree:
        yield f"chain: {_value(tree['chain'])} # one search goes down through all budgets"
    yield ""
    yield f"resources: {_value(tree['resources'])} # of each trial"
    if not sketch.machine.gpus:
        larger = network.resizable and network.native > sketch.size
        more = ["data.train_limit=null"] * bool(sketch.limit) + [f"data.image_size={network.native}"] * larger
        yield f"# On a GPU: {' '.join(f'--set {each}' for each in ('resources.gpus_per_worker=1', *more))}"


def _data_notes(sketch: Sketch) -> dict[str, str]:
    images, network = sketch.images, sketch.network
    sides = f"{images.least}" if images.least == images.greatest else f"{images.least} to {images.greatest}"
    mirrored = "true shifts and mirrors" if images.grey else "shift and mirror; false where mirrored is another class"
    return {
        "root": "the folder of train/" if images.part else "class folders; there is no test part",
        "image_size": f"sides of the images: {sides} px; a multiple of the patch, {network.stride} px",
        "val_share": "is held out of the training images and selects"
        + ("" if images.test else "; without test/ or val/ nothing else is measured on"),
        "train_limit": f"of {images.train:,}, to stay within an hour here; null takes all",
        "test_limit": f"of {images.test:,}",
        "augment": mirrored,
        "unreadable": f"{len(images.unreadable):,} of {images.decoded + images.opened:,} images cannot be read; "
        "up to this share of a part is skipped",
    }


def _classes(sketch: Sketch) -> str:
    names = sketch.images.classes
    shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    line = f"{len(names)} classes: {shown}"
    return line if len(line) <= WIDTH else line[: WIDTH - 4] + " ..."


def _mapping(tree: dict[str, Any], notes: dict[str, str] | None = None) -> Iterator[str]:
    for key, value in tree.items():
        note = (notes or {}).get(key)
        yield f"  {key}: {_value(value)}" + (f" # {note}" if note else "")


def _value(value: Any) -> str:
    """A value in YAML's flow style, text quoted where it could be read as something else."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        bare = value.replace("/", "").replace("_", "").replace(".", "").replace("-", "").isalnum()
        return value if bare and yaml12.parse_scalar(value, "", "") == value else json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
