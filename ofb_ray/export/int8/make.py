"""Make a trial's subnet in int8: calibrate and choose on held-out training images, then read the test split once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ofb_ray.data import Split
from ofb_ray.export.int8 import choose, graph, images
from ofb_ray.export.int8.graph import Graph, Images, Logits
from ofb_ray.export.int8.instructions import Instructions, find
from ofb_ray.export.int8.loss import Scores, joined, loss, score, scores
from ofb_ray.export.network import input_size_of, load_exported
from ofb_ray.results.files import WEIGHTS_FILE
from ofb_ray.results.int8 import FloatLayer, Int8File, digest_of
from ofb_ray.results.records import Record

TOLERANCE = 0.5
SECONDS = 600.0
_ERROR_IMAGES = 64
Show = Callable[[str], None]


@dataclass(frozen=True)
class Int8:
    """An int8 network: `model.int8.onnx` and what `int8.json` says of it."""

    model: bytes
    facts: Int8File


def make_int8(
    folder: Path,
    record: Record,
    arch: Mapping[str, Any],
    *,
    root: str | None = None,
    seconds: float = SECONDS,
    show: Show = lambda _: None,
) -> Int8:
    """Make the subnet of a finished trial in int8.

    Args:
        folder: of the trial, with its weights.
        root: of the data set, where it has moved.
        seconds: limit of the choice of layers.
        show: told what is going on, in short lines.
    Raises:
        InputError: onnxruntime cannot quantise, or the trial's data set is not at hand.
    """
    graph.check_quantisation()
    show("loading held-out training images")
    data = images.load_data(record, arch, folder, root)
    show("exporting the network")
    made = graph.make_graph(load_exported(folder), input_size_of(dict(arch)))
    cpu = find()
    chosen = _choose(made, images.held_out(data), cpu, seconds, show)
    tested = _test(made.float32, chosen.model, data.test, show)
    versions = {name: metadata.version(name) for name in ("onnxruntime", "onnx", "torch")}
    facts = Int8File(
        **chosen.facts,
        **tested,
        model_sha256=digest_of(chosen.model),
        weights_sha256=digest_of((folder / WEIGHTS_FILE).read_bytes()),
        bytes_int8=len(chosen.model),
        bytes_float32=len(made.float32),
        activations="uint8" if cpu.x86 else "int8",
        reduce_range=cpu.saturates,
        instructions=cpu.names,
        fast=cpu.fast,
        versions=versions,
    )
    return Int8(chosen.model, facts)


@dataclass(frozen=True)
class _Chosen:
    model: bytes
    facts: dict[str, Any]


def _choose(made: Graph, held: images.HeldOut, cpu: Instructions, seconds: float, show: Show) -> _Chosen:
    """Choose how to calibrate and which layers stay in float, on held-out images."""
    options = {"reduce_range": cpu.saturates, "symmetric": not cpu.x86}
    exact = scores(graph.runner(made.float32), held.selection)
    few = np.concatenate([each for each, _ in held.selection])[:_ERROR_IMAGES]
    logits = graph.runner(made.float32)(few)

    def model(ranges: Any, nodes: Sequence[str]) -> bytes:
        return graph.quantise(made, ranges, nodes, **options)

    def error(ranges: Any, nodes: Sequence[str]) -> float:
        return relative_error(graph.runner(model(ranges, nodes))(few), logits)

    show(f"calibrating on {sum(map(len, held.calibration))} held-out images")
    known = graph.find_ranges(made, held.calibration)
    method = min(known, key=lambda each: error(known[each], [*made.layers]))
    ranges = known[method]
    choice = choose.choose(
        [*made.layers],
        lambda nodes: loss(exact, scores(graph.runner(model(ranges, nodes)), held.selection)).points,
        lambda node: error(ranges, [node]),
        TOLERANCE,
        seconds=seconds,
        show=show,
    )
    chosen = model(ranges, choice.int8)
    small = scores(graph.runner(chosen), held.selection)
    cost = loss(exact, small)
    facts = {
        "layers": len(made.layers),
        "float_layers": tuple(
            FloatLayer(name=made.layers[node], error=round(error, 4)) for node, error in choice.float32
        ),
        "calibration": method,
        "calibration_images": sum(map(len, held.calibration)),
        "selection_images": sum(len(labels) for _, labels in held.selection),
        "tolerance": TOLERANCE,
        "met": choice.met,
        "out_of_time": choice.out_of_time,
        "top1_val": round(small.top1, 4),
        "top1_val_float32": round(exact.top1, 4),
        "val_error": round(cost.error, 4),
        "lost_probability": round(cost.probability, 4),
    }
    return _Chosen(chosen, facts)


def relative_error(logits: Logits, exact: Logits) -> float:
    """Root mean square of the difference over the deviation of the exact logits of an image."""
    spread = float(np.sqrt(((exact - exact.mean(1, keepdims=True)) ** 2).mean()))
    return float(np.sqrt(((logits - exact) ** 2).mean())) / max(spread, 1e-12)


def _test(float32: bytes, int8: bytes, split: Split, show: Show) -> dict[str, Any]:
    """Measure both networks on the same images of the test split, in one pass; nothing is known without one."""
    runs: list[Callable[[Images], Logits]] = [graph.runner(float32), graph.runner(int8)]
    parts: list[list[Scores]] = [[], []]
    done = 0
    for batch, labels in images.test_batches(split):
        show(f"test split: {done:,} of {len(split):,} images")
        for run, found in zip(runs, parts, strict=True):
            found.append(score(run(batch), labels))
        done += len(labels)
    if not done:
        return {}
    exact, small = (joined(found) for found in parts)
    return {
        "top1_test": round(small.top1, 4),
        "top1_test_float32": round(exact.top1, 4),
        "test_error": round(loss(exact, small).error, 4),
        "test_images": done,
    }
