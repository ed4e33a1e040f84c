"""The graph in int8: the layers that were asked for and no others, close to the network in float32."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from torch import nn

from ofb_ray.errors import InputError
from ofb_ray.export.int8 import graph
from ofb_ray.export.int8.graph import Graph, make_graph
from ofb_ray.export.int8.make import relative_error
from tests.export.trials import subnet
from tests.nets import NETS, SHAPE, images


@pytest.fixture(scope="module")
def plain() -> Graph:
    return make_graph(subnet("plain")[0], SHAPE)


def layers_of(net: nn.Module) -> Iterator[str]:
    for name, module in net.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.weight.numel():
            yield name


def batches(count: int = 64) -> list[graph.Images]:
    return [images(count).numpy()]


def test_layers_have_the_names_of_their_modules(plain: Graph) -> None:
    assert [*plain.layers.values()] == [*layers_of(subnet("plain")[0])]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in NETS if kind != "plain"])
def test_every_family_goes_into_int8(kind: str) -> None:
    net, _ = subnet(kind)
    made = make_graph(net, SHAPE)
    assert Counter(made.layers.values()) == Counter(layers_of(net))
    ranges = graph.find_ranges(made, batches())["minmax"]
    model = graph.quantise(made, ranges, [*made.layers], reduce_range=False, symmetric=False)
    exact = graph.runner(made.float32)(batches()[0])
    assert relative_error(graph.runner(model)(batches()[0]), exact) < 0.2


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("reduce_range", [False, True])
def test_int8_is_close_to_float32(plain: Graph, symmetric: bool, reduce_range: bool) -> None:
    exact = graph.runner(plain.float32)(batches()[0])
    for ranges in graph.find_ranges(plain, batches()).values():
        model = graph.quantise(plain, ranges, [*plain.layers], reduce_range=reduce_range, symmetric=symmetric)
        assert 1e-4 < relative_error(graph.runner(model)(batches()[0]), exact) < 0.2
        for batch in (1, 3):
            assert graph.runner(model)(batches()[0][:batch]).shape == exact[:batch].shape


def test_weights_are_int8_per_channel_and_what_is_not_asked_for_stays_float(plain: Graph) -> None:
    ranges = graph.find_ranges(plain, batches())["percentile"]
    nodes = [node for node, layer in plain.layers.items() if layer != "blocks.1.mlp.fc1"]
    model = onnx.load_from_string(graph.quantise(plain, ranges, nodes, reduce_range=True, symmetric=False))
    kinds = Counter(each.data_type for each in model.graph.initializer if len(each.dims) > 1)
    assert kinds[onnx.TensorProto.INT8] == len(nodes)
    weights = [each for each in model.graph.initializer if each.data_type == onnx.TensorProto.INT8 and each.dims]
    assert max(int(np.abs(onnx.numpy_helper.to_array(each)).max()) for each in weights) == 64  # seven bits
    (kept,) = [node for node in model.graph.node if node.name in plain.layers and node.name not in nodes]
    known = {each.name: each.data_type for each in model.graph.initializer}
    assert known[kept.input[1]] == onnx.TensorProto.FLOAT
    products = [node for node in model.graph.node if node.op_type in ("Softmax", "LayerNormalization", "Gelu")]
    assert not [node for node in products if any("Quantize" in name for name in node.output)]


def test_no_layer_in_int8_is_the_network_itself(plain: Graph) -> None:
    ranges = graph.find_ranges(plain, batches())["minmax"]
    model = graph.quantise(plain, ranges, [], reduce_range=False, symmetric=False)
    exact = graph.runner(plain.float32)(batches()[0])
    assert relative_error(graph.runner(model)(batches()[0]), exact) < 1e-5


def test_a_percentile_leaves_out_the_tails_and_keeps_zero() -> None:
    count = np.full(2048, 1000)
    count[:100] = count[-100:] = 0
    count[0] = count[-1] = 1
    low, high = graph._trimmed(count, -2.0, 2.0)
    assert (low, high) == pytest.approx((-1.8, 1.8), abs=0.01)
    assert graph._trimmed(count, 1.0, 2.0)[0] == 0.0
    assert graph._trimmed(count, -2.0, -1.0)[1] == 0.0


def test_a_missing_quantisation_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization.qdq_quantizer", None)
    with pytest.raises(InputError, match=r"^--int8: onnxruntime's quantisation cannot be imported .* pip install"):
        graph.check_quantisation()
