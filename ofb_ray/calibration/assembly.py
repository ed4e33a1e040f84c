"""Assemble a smaller network without any training: the best units of each axis, and compensated readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from ofb_ray.backbones.base import Backbone, cut_corrected, rebuild
from ofb_ray.calibration.compensation import compensate
from ofb_ray.calibration.statistics import input_moments
from ofb_ray.method.axis import Axis, Keep, Widths, keep_best


def assemble(
    net: nn.Module,
    backbone: Backbone,
    scores: Mapping[str, Tensor],
    widths: Widths,
    images: Sequence[Tensor],
    compensated: bool = True,
) -> nn.Module:
    """Cut a network to `widths`; embeddings first, so that what is predicted is what flows then.

    Args:
        net: the dense network in eval mode.
        backbone: its description.
        scores: per axis with a choice the importance (U,) of its units.
        widths: the size of every axis.
        images: calibration images in batches, on the network's device.
        compensated: fold what cut units said into the weights that read the others.
    Returns:
        a plain network in eval mode.
    """
    axes = {axis.name: axis for axis in backbone.axes}
    keeps = {
        name: keep_best(scores[name], axes[name].size, size) for name, size in widths.items() if size != axes[name].size
    }
    streams = {name: keep for name, keep in keeps.items() if axes[name].kind == "embedding"}
    inner = {name: keep for name, keep in keeps.items() if name not in streams}
    net = cut_corrected(net, backbone, streams).eval()
    backbone = backbone.with_axes([_fixed(axis, widths) if axis.name in streams else axis for axis in backbone.axes])
    if compensated:
        net = rebuild(net, compensated_readers(net, backbone, inner, images)).eval()
    return cut_corrected(net, backbone, inner).eval()


def _fixed(axis: Axis, widths: Widths) -> Axis:
    heads, width = widths[axis.name]
    return replace(axis, head_choices=(heads,), width_choices=(width,))


def compensated_readers(
    net: nn.Module,
    backbone: Backbone,
    keeps: Mapping[str, Keep],
    images: Sequence[Tensor],
    params: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Make good in the readers of attentions and MLPs what their cut units said.

    Args:
        net: the network before the cut, in eval mode.
        keeps: the units that stay, by axis; embeddings are passed over.
        images: calibration images in batches, on the network's device.
        params: to compensate where they are not those of `net`, such as a supernet's before their rows are masked.
    Returns:
        weight and bias of each reader, at their old sizes; the columns of cut units are as they were.
    """
    readers = {
        name: reader_of(name, backbone)
        for name, keep in keeps.items()
        if backbone.axis(name).kind != "embedding" and len(keep.units_U) < keep.before.units
    }
    moments = input_moments(net, list(readers.values()), images) if readers else {}
    params, result = params or dict(net.named_parameters()), dict[str, Tensor]()
    for name, reader in readers.items():
        weight_OU, bias = params[f"{reader}.weight"].detach(), params.get(f"{reader}.bias")
        kept_S = keeps[name].units_U.to(weight_OU.device)
        bias_O = None if bias is None else bias.detach()
        weight_OS, new_O = compensate(weight_OU, bias_O, kept_S, moments[reader])
        result[f"{reader}.weight"] = weight_OU.index_copy(1, kept_S, weight_OS)
        if new_O is not None:
            result[f"{reader}.bias"] = new_O
    return result


def reader_of(axis: str, backbone: Backbone) -> str:
    """Name the linear layer that reads the units of an attention or an MLP."""
    return next(
        cut.param.removesuffix(".weight")
        for cut in backbone.cuts
        if cut.axis == axis and cut.dim == 1 and not cut.gate and not cut.per_head
    )
