"""Tell an exported subnet's reader what its outputs are called: for `config.json`, and in the model card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ofb_ray.data.names import class_names
from ofb_ray.results.records import Record

_MOST = 200
_SCRIPT = """\
import json
from pathlib import Path

import timm
import torch
from PIL import Image

net = load("FOLDER")
prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
with torch.no_grad():
    shares = net(prepare(Image.open("IMAGE").convert("{mode}"))[None]).softmax(-1)[0]
names = json.loads((Path("FOLDER") / "config.json").read_text()).get("label_names", range(len(shares)))
for share, label in zip(*shares.topk(min(3, len(shares)))):
    print(f"{{share:.1%}} {{names[int(label)]}}")
"""


def label_names(record: Record, arch: dict[str, Any]) -> list[str]:
    """Return the names of the network's outputs, printable; empty where the record has none, or of another number."""
    names = class_names(record.class_names)
    return list(names) if len(names) == arch["model"]["args"].get("num_classes") else []


def classifying(arch: dict[str, Any]) -> str:
    """A section of the card: a script that classifies an image; empty where it is not known how images are prepared."""
    if "input" not in arch:
        return ""
    mode = "L" if arch["input"]["input_size"][0] == 1 else "RGB"
    return (
        "## Classify an image\n\nAfter `load` above, with the folder of this card and an image of your own:\n\n"
        f"```python\n{_SCRIPT.format(mode=mode)}```"
    )


def classes(names: Sequence[str]) -> str:
    """A section of the card: label and name, in a fence that no name can end; empty without names."""
    if not names:
        return ""
    lines = [f"{label} {name}" for label, name in enumerate(names[:_MOST])]
    if len(names) > _MOST:
        lines.append(f"... and {len(names) - _MOST} others")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", "\n".join(lines))), default=0))
    return (
        "## Classes\n\nLabels and names, in `config.json` as `label_names`:\n\n"
        f"{fence}text\n" + "\n".join(lines) + f"\n{fence}"
    )
