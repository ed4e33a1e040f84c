"""A network as ONNX and as torch's exported program, with a batch of any size, each checked for equal outputs."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.export import ExportedProgram

ONNX_FILE, PROGRAM_FILE = "model.onnx", "model.pt2"
OPSET = 20
TOLERANCE = 1e-4
INPUT, OUTPUT = "images", "logits"
_BATCHES = (1, 3)


class ExportFailed(Exception):
    """What was exported does not compute what the network computes; nothing was kept of it."""


def export_program(net: nn.Module, input_size: Sequence[int]) -> ExportedProgram:
    """The graph of `net` in eval mode for images (batch, C, height, width) of any batch size."""
    images = next(net.parameters()).new_zeros(2, *input_size)
    with torch.no_grad():
        return torch.export.export(
            _without_gone(net), (images,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
        )


class _Bias(nn.Module):
    """An attention or an MLP of no units: the bias of its last layer, whatever it reads."""

    def __init__(self, bias_E: Tensor) -> None:
        super().__init__()
        self.bias_E = nn.Parameter(bias_E.detach().clone())

    def forward(self, tokens: Tensor, **_options: object) -> Tensor:
        return self.bias_E.expand_as(tokens)


def _without_gone(net: nn.Module) -> nn.Module:
    """The same function without empty tensors, which ONNX's reshape refuses: a part that is gone is its bias."""
    owners = {name.rpartition(".")[0]: layer for name, layer in net.named_modules() if _reads_nothing(layer)}
    if not owners:
        return net
    new = copy.deepcopy(net)
    for owner, layer in owners.items():
        bias = layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias
        new.set_submodule(owner, _Bias(bias).train(net.training))
    return new


def _reads_nothing(layer: nn.Module) -> TypeGuard[nn.Linear]:
    return isinstance(layer, nn.Linear) and not layer.in_features


def save_program(net: nn.Module, input_size: Sequence[int], path: Path) -> float:
    """Write `path` with `torch.export.save`, load it again and compare; returns the largest difference of a logit.

    Raises:
        ExportFailed: it is larger than `TOLERANCE`.
    """
    torch.export.save(export_program(net, input_size), path)
    loaded = torch.export.load(path).module()
    return check_equal(net, loaded, input_size, path.name)


def onnx_bytes(net: nn.Module, input_size: Sequence[int]) -> bytes:
    """The network as ONNX of opset `OPSET`: `images` (batch, C, height, width) in, `logits` (batch, classes) out."""
    with _quiet():
        program = torch.onnx.export(
            export_program(net, input_size),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def onnx_session(model: bytes, provider: str = "CPUExecutionProvider", **entries: str) -> Any:
    """Open an ONNX file with as many threads as torch has.

    Args:
        entries: of the session's configuration, with two underscores for a dot.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 3
    for name, value in entries.items():
        options.add_session_config_entry(name.replace("__", "."), value)
    return onnxruntime.InferenceSession(model, options, providers=[provider])


def save_onnx(net: nn.Module, input_size: Sequence[int], path: Path) -> float:
    """Write `path`, run it by onnxruntime on the CPU and compare; returns the largest difference of a logit.

    Raises:
        ExportFailed: it is larger than `TOLERANCE`.
    """
    import onnxruntime

    path.write_bytes(onnx_bytes(net, input_size))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return check_equal(
        net, lambda images: torch.from_numpy(session.run(None, {INPUT: images.numpy()})[0]), input_size, path.name
    )


def check_equal(net: nn.Module, other: Callable[[Tensor], Tensor], input_size: Sequence[int], name: str) -> float:
    """The largest absolute difference of a logit on random images, in batches of one and of several.

    Raises:
        ExportFailed: it is larger than `TOLERANCE`.
    """
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for batch in _BATCHES:
        images = torch.randn(batch, *input_size, generator=generator)
        with torch.no_grad():
            wanted, found = net(images), other(images)
        equal_shapes = found.shape == wanted.shape
        difference = float((found - wanted).abs().nan_to_num(math.inf).max()) if equal_shapes else math.inf
        largest = max(largest, difference)
    if largest > TOLERANCE:
        raise ExportFailed(
            f"{name} differs from the network by {largest:.2g} (allowed: {TOLERANCE:g}); nothing is kept"
        )
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on its own progress and deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
