"""The section of the model card on `model.int8.onnx`, and what timm's `config.json` says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ofb_ray.export.int8.instructions import sentence
from ofb_ray.export.program import OPSET
from ofb_ray.results.int8 import INT8_MODEL, FloatLayer, Int8File

_SHOWN = 12
_SCRIPT = """\
import json
from pathlib import Path

import numpy as np
import onnxruntime
import timm
from PIL import Image

config = json.loads((Path("FOLDER") / "config.json").read_text())
prepare = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=config["pretrained_cfg"]))
image = prepare(Image.open("IMAGE").convert("{mode}"))[None].numpy()
session = onnxruntime.InferenceSession(Path("FOLDER") / "model.int8.onnx", providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {{"images": image}})[0]
names = config.get("label_names", range(len(logits)))
for label in np.argsort(-logits)[:3]:
    print(names[label], round(float(logits[label]), 2))
"""


def config_of(facts: Int8File) -> dict[str, Any]:
    """What `config.json` says under `int8`."""
    return {
        "file": INT8_MODEL,
        "sha256": facts.model_sha256,
        "top1_test": facts.top1_test,
        "top1_test_float32": facts.top1_test_float32,
        "float_layers": [layer.name for layer in facts.float_layers],
        "reduce_range": facts.reduce_range,
    }


def int8_section(facts: Int8File, latency: Mapping[str, Any] | None, arch: Mapping[str, Any]) -> str:
    """Write what int8 costs and gains, which layers stayed in float and why, and how the file is used.

    Args:
        latency: as in `latency.json`, of this network.
    """
    parts = [
        f"## int8\n\n`{INT8_MODEL}` is the same network by onnxruntime's static quantisation: ONNX, opset {OPSET}, "
        "QDQ, input `images`, output `logits`, any batch size. Weights are int8 with a scale for each channel, "
        f"what layers read is {facts.activations}; {float_layers(facts)}. Softmax, norms, GELU, sums and products of "
        "activations are float32.",
        _table(facts, latency),
        cost(facts),
        f"Ranges ({facts.calibration}) come from {facts.calibration_images:,} held-out training images, the choice of "
        f"layers from {facts.selection_images:,} others, on which int8 may cost {facts.tolerance:g} points of "
        "the right class's probability, and of top-1 beyond two standard errors. The test split selects nothing.",
        _speed(facts, latency),
    ]
    if "input" in arch:
        mode = "L" if arch["input"]["input_size"][0] == 1 else "RGB"
        parts.append(f"```python\n{_SCRIPT.format(mode=mode)}```")
    return "\n\n".join(parts)


def float_layers(facts: Int8File) -> str:
    """Say which layers with weights stay in float32, and why."""
    kept = facts.float_layers
    if not kept:
        return f"all {facts.layers} layers with weights are in int8"
    more = f" and {len(kept) - _SHOWN} others" if len(kept) > _SHOWN else ""
    return (
        f"{facts.layers - len(kept)} of {facts.layers} layers with weights are in int8; {_names(kept[:_SHOWN])}{more} "
        "stay in float32, since they change the logits most (in brackets: the error with that layer alone in int8, "
        "over the logits' deviation)"
    )


def _names(layers: Sequence[FloatLayer]) -> str:
    return ", ".join(f"`{layer.name}` ({layer.error:.3f})" for layer in layers)


def cost(facts: Int8File) -> str:
    """Say what int8 costs in top-1, and how sure that is."""
    held_out = facts.top1_val_float32 - facts.top1_val
    told = (
        f"On held-out images int8 costs {facts.lost_probability:.2f} points of the right class's probability and "
        f"{held_out:.2f} of top-1 (standard error {facts.val_error:.2f})"
    )
    if not facts.met:
        end = ", and the time for the choice of layers was over" if facts.out_of_time else ""
        told += f", **more than the {facts.tolerance:g} that it may**{end}"
    if facts.drop is None:
        return f"{told}. On a test split nothing is known."
    error = "" if facts.test_error is None else f" (standard error {facts.test_error:.2f})"
    return f"{told}; on {facts.test_images:,} test images {facts.drop:.2f} of top-1{error}."


def in_int8(latency: Mapping[str, Any]) -> str:
    """Say what the ratios of `onnxruntime-int8` are of, and give those to the subnet in float32; empty without."""
    found = [each for each in latency["ratios"] if each.get("float32_ratio") is not None]
    if not found:
        return ""
    own = ", ".join(f"{each['float32_ratio']:.3f} at batch {each['batch']}" for each in found)
    return (
        "onnxruntime-int8: the subnet in int8 over the dense network in float32; over the subnet itself in float32 "
        f"{own}"
    )


def _table(facts: Int8File, latency: Mapping[str, Any] | None) -> str:
    rows = {(row["network"], row["batch"]): row for row in (latency or {}).get("rows", ())}
    batches = sorted({batch for _, batch in rows})
    head = ["", "top-1 test (%)", "top-1 held-out (%)", "size (MB)", *(f"batch {batch} (ms)" for batch in batches)]

    def line(name: str, network: str, test: float | None, val: float | None, size: int | None) -> list[str]:
        times = [_time(rows[network, batch]) if (network, batch) in rows else "" for batch in batches]
        shown = ["" if value is None else f"{value:.2f}" for value in (test, val)]
        return [name, *shown, "" if size is None else f"{size / 1e6:.2f}", *times]

    body = [
        line("subnet, float32", "subnet-float32", facts.top1_test_float32, facts.top1_val_float32, facts.bytes_float32),
        line("**subnet, int8**", "subnet", facts.top1_test, facts.top1_val, facts.bytes_int8),
    ]
    if rows:
        body.insert(0, line("dense, float32", "dense", None, None, None))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body))


def _time(row: Mapping[str, Any]) -> str:
    return f"{row['median_ms']:.2f} ({row['low_ms']:.2f} to {row['high_ms']:.2f})"


def _speed(facts: Int8File, latency: Mapping[str, Any] | None) -> str:
    told = sentence(facts.instructions, facts.fast, "The CPU that it was made on")
    if facts.reduce_range:
        told += " Weights have seven bits, since sums of products of eight may saturate on it."
    elif facts.activations == "uint8":
        told += " On an x86 CPU without VNNI sums of its products may saturate and lose accuracy: make the file there."
    if latency is None:
        return f"{told} Times were not measured."
    ratios = [
        f"{each['float32_ratio']:.2f} of the time in float32 at batch {each['batch']}"
        for each in latency["ratios"]
        if each.get("float32_ratio") is not None
    ]
    place = f"{latency['device_name']}, threads: {latency['threads']}"
    return f"{told} The subnet in int8 takes {', '.join(ratios)} (medians of one interleaved run; {place})."
