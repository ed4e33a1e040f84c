"""The ONNX graph of a network, and the same with some of its layers in int8, by onnxruntime's quantisation."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ofb_ray.errors import InputError
from ofb_ray.export.program import INPUT, onnx_bytes, onnx_session

if TYPE_CHECKING:
    from onnx import ModelProto

Images = NDArray[np.float32]
Logits = NDArray[np.float32]
Method = Literal["minmax", "percentile"]
Ranges = Any  # onnxruntime's TensorsData
_BINS, _TAIL, _FEW = 2048, 5e-5, 8
# Layers with weights. Softmax, norms, GELU, sums and products of activations stay in float: they cost top-1, not time.
_TYPES = ("Conv", "Gemm", "MatMul")
# Their outputs go on in float. A convolution has its int8 kernel only with an output of int8.
_FLOAT_OUTPUTS = ("Gemm", "MatMul")


@dataclass(frozen=True)
class Graph:
    """A network as ONNX, ready to be quantised.

    Args:
        float32: the file in float32, as it was exported.
        model: the same after onnxruntime's preparation.
        layers: node -> name of the layer, in the graph's order.
    """

    float32: bytes
    model: ModelProto
    layers: dict[str, str]


def check_quantisation() -> None:
    """Raises InputError where this onnxruntime cannot quantise."""
    try:
        import onnx  # noqa: F401
        import onnxruntime.quantization.qdq_quantizer  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"onnxruntime's quantisation cannot be imported ({error}): pip install onnx onnxruntime, or leave it out",
            key="--int8",
        ) from None


def make_graph(net: nn.Module, input_size: Sequence[int]) -> Graph:
    """Export a network and find its layers."""
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
    from onnxruntime.quantization.shape_inference import quant_pre_process

    float32 = onnx_bytes(net, input_size)
    with _quiet(), tempfile.TemporaryDirectory(prefix="ofb-ray-int8-") as place:
        exported, prepared = Path(place, "float32.onnx"), Path(place, "prepared.onnx")
        exported.write_bytes(float32)
        # Only the batch is open: nothing is won by symbolic shapes, which ask for sympy.
        quant_pre_process(exported, prepared, skip_symbolic_shape=True)
        model = load_model_with_shape_infer(prepared)
    return Graph(float32, model, _layers(model, net))


def _layers(model: ModelProto, net: nn.Module) -> dict[str, str]:
    """Name the nodes with constant weights after the modules whose weights they hold."""
    from onnx import numpy_helper

    constants = {each.name: each for each in model.graph.initializer}
    known: dict[bytes, list[str]] = {}
    for name, module in net.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.dim() > 1:
            values = weight.detach().cpu().float()
            for form in {_content(values.numpy()), _content(values.flatten(1).T.numpy())}:
                known.setdefault(form, []).append(name)
    found = {}
    for node in model.graph.node:
        if node.op_type in _TYPES and node.input[1] in constants:
            names = known.get(_content(numpy_helper.to_array(constants[node.input[1]])), [])
            found[node.name] = names.pop(0) if names else node.name
    return found


def _content(values: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(values).tobytes()


def find_ranges(graph: Graph, batches: Sequence[Images]) -> dict[Method, Ranges]:
    """Run images through the network and return the ranges of what its layers read, by the way they are taken.

    `minmax` spans all values, `percentile` leaves out 0.005 % on either side: outliers widen the steps of all others.
    """
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorsData

    names, parts = _ranged(graph), [part for images in batches for part in _parts(images)]
    run = onnx_session(_with_outputs(graph.model, names))
    lowest, highest = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for images in parts:
        for at, values in enumerate(run.run(names, {INPUT: images})):
            lowest[at], highest[at] = min(lowest[at], values.min()), max(highest[at], values.max())
    spans = list(zip(lowest.tolist(), highest.tolist(), strict=True))
    counts = np.zeros((len(names), _BINS), np.int64)
    for images in parts:
        for at, values in enumerate(run.run(names, {INPUT: images})):
            counts[at] += np.histogram(values, _BINS, spans[at])[0]
    known: dict[Method, list[tuple[float, float]]] = {
        "minmax": spans,
        "percentile": [_trimmed(count, *span) for count, span in zip(counts, spans, strict=True)],
    }
    return {
        method: TensorsData(
            CalibrationMethod.MinMax,
            {name: (np.float32(low), np.float32(high)) for name, (low, high) in zip(names, found, strict=True)},
        )
        for method, found in known.items()
    }


def _parts(images: Images) -> list[Images]:
    """Few images at a time, since what all layers read is kept at once."""
    return [images[first : first + _FEW] for first in range(0, len(images), _FEW)]


def _trimmed(count: NDArray[np.int64], low: float, high: float) -> tuple[float, float]:
    """The range of a histogram from `low` to `high` without its tails; zero stays inside."""
    shares, edges = np.cumsum(count) / count.sum(), np.linspace(low, high, len(count) + 1)
    first, last = np.searchsorted(shares, [_TAIL, 1 - _TAIL])
    return min(0.0, float(edges[first])), max(0.0, float(edges[min(last + 1, len(count))]))


def _ranged(graph: Graph) -> list[str]:
    """The tensors that have a range: what layers read, and what a convolution puts out."""
    nodes = [node for node in graph.model.graph.node if node.name in graph.layers]
    outputs = [node.output[0] for node in nodes if node.op_type not in _FLOAT_OUTPUTS]
    return list(dict.fromkeys([*(node.input[0] for node in nodes), *outputs]))


def _with_outputs(model: ModelProto, names: Iterable[str]) -> bytes:
    from onnx import ModelProto, TensorProto, helper

    new = ModelProto()
    new.CopyFrom(model)
    known = {each.name for each in new.graph.output}
    new.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in known
    )
    return bytes(new.SerializeToString())


def quantise(graph: Graph, ranges: Ranges, nodes: Collection[str], *, reduce_range: bool, symmetric: bool) -> bytes:
    """Return the network with these nodes in int8: QuantizeLinear and DequantizeLinear around them.

    Args:
        ranges: from `find_ranges`.
        nodes: some of `graph.layers`.
        reduce_range: weights of seven bits.
        symmetric: activations int8 around zero, as ARM's kernels want them; else uint8 with a zero point.
    """
    from onnx import ModelProto
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    if not nodes:  # to onnxruntime none would mean all
        return bytes(graph.model.SerializeToString())
    model = ModelProto()
    model.CopyFrom(graph.model)
    quantizer = QDQQuantizer(
        model,
        True,
        reduce_range,
        QuantType.QInt8,
        QuantType.QInt8 if symmetric else QuantType.QUInt8,
        ranges,
        [*nodes],
        [],
        [*_TYPES],
        {
            "ActivationSymmetric": symmetric,
            "WeightSymmetric": True,
            "OpTypesToExcludeOutputQuantization": [*_FLOAT_OUTPUTS],
        },
    )
    with _quiet():
        quantizer.quantize_model()
    return bytes(quantizer.model.model.SerializeToString())


def runner(model: bytes) -> Callable[[Images], Logits]:
    """Return what computes logits by onnxruntime on the CPU, with as many threads as torch has."""
    session = onnx_session(model)

    def run(images: Images) -> Logits:
        logits: Logits = session.run(None, {INPUT: images})[0]
        return logits

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what onnxruntime's quantisation logs by the root logger and prints."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
