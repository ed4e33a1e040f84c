"""What a size costs, measured: the change of the outputs when one axis alone is cut, compensated.

Delta = mean KL(dense outputs || outputs with the axis cut) over calibration images, in nats. An attention or an MLP is
cut by zeros in place of its units and by the compensated weights behind them, which equals removing the units; what
comes before the axis' block is computed once.

Shape suffixes: B images, C classes, U units, S kept units, I head choices, J width choices.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ofb_ray.backbones.base import Backbone, cut_corrected
from ofb_ray.calibration.compensation import compensate, reader_of
from ofb_ray.calibration.statistics import input_moments
from ofb_ray.method.axis import Axis, Cut, Width, keep_best

# Sizes between measured ones are interpolated in the logarithm of Delta.
_MEASURED = 4
_SMALLEST = 1e-9


class Meter:
    """Measure the divergence of a network whose axes are cut one at a time.

    Args:
        net: the dense network in eval mode, in its canonical basis.
        backbone: its description.
        images: calibration images in batches (B, channels, height, width), on the network's device.
        scores: per axis the importance (U,) of its units; the best stay.
    """

    def __init__(
        self, net: nn.Module, backbone: Backbone, images: Sequence[Tensor], scores: Mapping[str, Tensor]
    ) -> None:
        self._net, self._backbone, self._images, self._scores = net, backbone, images, scores
        self._dense = [_log_probabilities(net, batch) for batch in images]
        inner = [axis.name for axis in backbone.axes if axis.kind != "embedding"]
        self._readers = {name: reader_of(name, backbone) for name in inner}
        self._moments = input_moments(net, sorted(set(self._readers.values())), images)
        self._trunk = _Trunk(net, list(dict.fromkeys(map(_block, self._readers))), images)

    def delta(self, axis: Axis, size: Width) -> float:
        """Return mean KL(dense || cut), in nats, with this axis alone at this size."""
        if axis.kind == "embedding":
            keep = keep_best(self._scores[axis.name], axis.size, size)
            small = cut_corrected(self._net, self._backbone, {axis.name: keep})
            return _divergence(self._dense, (_log_probabilities(small, batch) for batch in self._images))
        reader = self._readers[axis.name]
        score_U, moment_GG = self._scores[axis.name], self._moments[reader]
        tensors = _cut_in_place(self._net, self._backbone, axis, size, score_U, reader, moment_GG)
        return _divergence(self._dense, self._trunk.outputs(_block(axis.name), tensors))


def sensitivities(
    meter: Meter,
    axes: Sequence[Axis],
    progress: Callable[[int, int, float], None] = lambda done, total, rest: None,
    known: MutableMapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Measure Delta of every candidate of every axis.

    Args:
        progress: called after each axis with axes done, axes in all, and the seconds left.
        known: what this very meter has measured before, by axis; each further axis is put into it at once.
    Returns:
        Per axis (I, J) in nats: 0 for the full size, never less for a smaller size.
    """
    start, result = time.monotonic(), {} if known is None else known
    missing = [axis for axis in axes if axis.name not in result]
    for measured, axis in enumerate(missing, start=1):
        result[axis.name] = _grid(axis, meter)
        left = len(missing) - measured
        progress(len(axes) - left, len(axes), (time.monotonic() - start) / measured * left)
    return {axis.name: result[axis.name] for axis in axes}


def _block(axis: str) -> str:
    """Name the block that holds an attention or an MLP."""
    return axis.rpartition(".")[0]


def _log_probabilities(net: nn.Module, batch: Tensor) -> Tensor:
    with torch.no_grad():
        return F.log_softmax(net(batch).float(), dim=-1)


def _divergence(dense: Sequence[Tensor], cut: Iterator[Tensor]) -> float:
    """Mean over images of KL(dense || cut)."""
    total = count = 0.0
    for one_BC, other_BC in zip(dense, cut, strict=True):
        total += float((one_BC.exp() * (one_BC - other_BC)).sum())
        count += len(one_BC)
    return max(0.0, total / count)


def _cut_in_place(
    net: nn.Module,
    backbone: Backbone,
    axis: Axis,
    size: Width,
    score_U: Tensor,
    reader: str,
    moment_GG: Tensor,
) -> dict[str, Tensor]:
    """The parameters that change when the axis has this size: rows of cut units 0, the reader compensated."""
    kept_S = keep_best(score_U, axis.size, size).units_U
    inside_U = torch.zeros(axis.size.units, device=score_U.device).index_fill_(0, kept_S, 1.0)
    params = dict(net.named_parameters())
    tensors: dict[str, Tensor] = {}
    for cut in backbone.cuts:
        if cut.axis == axis.name and cut.gate:
            tensors[cut.param] = params[cut.param].detach() * _shaped(inside_U, cut, params[cut.param].dim())
    layer = net.get_submodule(reader)
    assert isinstance(layer, nn.Linear)
    bias = None if layer.bias is None else layer.bias.detach()
    weight_OS, bias_O = compensate(layer.weight.detach(), bias, kept_S, moment_GG)
    tensors[f"{reader}.weight"] = torch.zeros_like(layer.weight).index_copy_(1, kept_S, weight_OS)
    if bias_O is not None:
        tensors[f"{reader}.bias"] = bias_O
    return tensors


def _shaped(inside_U: Tensor, cut: Cut, dims: int) -> Tensor:
    shape = [1] * dims
    shape[cut.dim] = -1
    return inside_U.repeat(cut.copies).view(shape)


def _grid(axis: Axis, meter: Meter) -> Tensor:
    """Delta of all candidates from a few that are measured: widths at all heads, heads at all widths, then the sum."""
    heads, widths = axis.head_choices, axis.width_choices
    by_width_J = _curve(widths, lambda width: meter.delta(axis, Width(heads[-1], width)))
    by_heads_I = _curve(heads, lambda count: meter.delta(axis, Width(count, widths[-1])))
    grid_IJ = by_heads_I[:, None] + by_width_J[None]
    # Nothing at all is measured as it is, and no size says less than nothing, though the sum may.
    return grid_IJ if heads[0] else grid_IJ.clamp_max(by_heads_I[0])


def _curve(choices: Sequence[int], delta: Callable[[int], float]) -> Tensor:
    """Delta over ascending choices, the last of which costs nothing: measured at a few, interpolated, falling."""
    if len(choices) == 1:
        return torch.zeros(1)
    count = min(_MEASURED, len(choices) - 1)
    places = sorted({round(index * (len(choices) - 2) / max(1, count - 1)) for index in range(count)})
    measured = [(choices[place], math.log(max(delta(choices[place]), _SMALLEST))) for place in places]
    values = [_interpolate(measured, choice) for choice in choices[:-1]]
    curve = torch.tensor([*map(math.exp, values), 0.0])
    return curve.flip(0).cummax(dim=0).values.flip(0)


def _interpolate(points: Sequence[tuple[int, float]], at: int) -> float:
    for (low, first), (high, second) in itertools.pairwise(points):
        if low <= at <= high:
            return first + (second - first) * (at - low) / (high - low)
    return points[-1][1] if at > points[-1][0] else points[0][1]


class _Trunk:
    """A network as a row of blocks, whose outputs are kept: a change in one block leaves those before it as they were.

    Args:
        blocks: names of modules that run one after the other, each on what the one before gave.
        images: batches whose block outputs are kept.
    """

    def __init__(self, net: nn.Module, blocks: Sequence[str], images: Sequence[Tensor]) -> None:
        self._net, self._blocks, self._images = net, list(blocks), images
        self._kept: list[dict[str, object]] = []
        for batch in images:
            outputs: dict[str, object] = {}
            handles = [
                net.get_submodule(name).register_forward_hook(
                    lambda _m, _i, output, name=name, outputs=outputs: outputs.__setitem__(name, output)
                )
                for name in blocks
            ]
            with torch.no_grad():
                net(batch)
            for handle in handles:
                handle.remove()
            self._kept.append(outputs)

    def outputs(self, block: str, tensors: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Log-probabilities (B, C) of every batch with other parameters from `block` on."""
        before = self._blocks[: self._blocks.index(block)]
        for batch, kept in zip(self._images, self._kept, strict=True):
            with self._skipping(before, kept), torch.no_grad():
                yield F.log_softmax(functional_call(self._net, dict(tensors), (batch,)).float(), dim=-1)

    @contextlib.contextmanager
    def _skipping(self, blocks: Sequence[str], kept: Mapping[str, object]) -> Iterator[None]:
        """Let blocks give what they gave, without running."""
        modules = [(self._net.get_submodule(name), kept[name]) for name in blocks]
        try:
            for module, output in modules:
                module.forward = lambda *_args, output=output, **_kwargs: output
            yield
        finally:
            for module, _ in modules:
                del module.forward
