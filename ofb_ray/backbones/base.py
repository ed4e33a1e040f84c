"""Declare a backbone family as data, and cut a network by rebuilding it from sliced tensors."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ofb_ray.method.axis import Axis, Cut, Keep, Width, Widths, shrink
from ofb_ray.method.cost import Term, parameter_terms

Indices = dict[str, list[tuple[int, Tensor]]]


@dataclass(frozen=True)
class Tokens:
    """Where a network has its patch tokens, for PMIM.

    Args:
        stem: name of the module whose output is the patch tokens, before any position is added.
        prefix: number of class, distillation and register tokens in front of the features.
        grid: decoded features along height and width, and the grid on which masks are drawn. A finer stem
            (Swin: 8 x 8 tokens a feature) is masked in blocks: a decoded feature is masked or seen as a whole (SimMIM).
        stride: pixels per decoded feature along one side.
        channels: of the image.
        embedding: the axis of the decoded features.
        stem_embedding: the axis of the patch tokens.
    """

    stem: str
    prefix: int
    grid: tuple[int, int]
    stride: int
    channels: int
    embedding: str
    stem_embedding: str


@dataclass(frozen=True)
class Norm:
    """A layer norm of a residual stream and the linear layers that read nothing but its output.

    Args:
        name: of the norm module.
        readers: names of the linear layers behind it; its weight and bias can be folded into them.
        padded: zeros are put beside its output before it is read, so its bias cannot go into the readers' bias.
    """

    name: str
    readers: tuple[str, ...]
    padded: bool = False


@dataclass(frozen=True)
class Scale:
    """A LayerScale: its vector's parameter name, and the name of the linear layer in front of it."""

    param: str
    writer: str


@dataclass(frozen=True)
class Backbone:
    """A network described as data.

    Args:
        axes: what may shrink.
        cuts: which dimensions of which parameters each axis indexes.
        macs: multiply-accumulates for one image, as a polynomial in the widths.
        params: number of parameters, likewise.
        norms: every layer norm whose output linear layers alone read.
        scales: every LayerScale.
        tokens: where its patch tokens are.
        refresh: sets the attributes (head counts, softmax scale, ...) of a network whose tensors were cut.
    """

    axes: tuple[Axis, ...]
    cuts: tuple[Cut, ...]
    macs: tuple[Term, ...]
    params: tuple[Term, ...]
    norms: tuple[Norm, ...]
    scales: tuple[Scale, ...]
    tokens: Tokens
    refresh: Callable[[nn.Module, Widths], None]

    def axis(self, name: str) -> Axis:
        """Return the axis of that name."""
        return next(axis for axis in self.axes if axis.name == name)

    @property
    def widths(self) -> dict[str, Width]:
        """The current size of every axis."""
        return {axis.name: axis.size for axis in self.axes}

    def with_axes(self, axes: Sequence[Axis]) -> Backbone:
        """Return the same description with other candidates; cuts and cost polynomials do not depend on them."""
        return replace(self, axes=tuple(axes))


def make_backbone(
    net: nn.Module,
    axes: Sequence[Axis],
    cuts: Sequence[Cut],
    macs: Sequence[Term],
    norms: Sequence[Norm],
    tokens: Tokens,
    refresh: Callable[[nn.Module, Widths], None],
    scales: Sequence[Scale] = (),
) -> Backbone:
    """Make a Backbone, its parameter polynomial read off the cuts, and check every cut against the tensors.

    Raises:
        ValueError: a cut names no parameter of `net`, or not its size.
    """
    shapes = {name: tuple(param.shape) for name, param in net.named_parameters()}
    if unknown := sorted({cut.param for cut in cuts} - shapes.keys()):
        raise ValueError(f"cuts name parameters that the network lacks: {unknown}")
    params = parameter_terms(shapes, cuts, axes)
    return Backbone(tuple(axes), tuple(cuts), tuple(macs), params, tuple(norms), tuple(scales), tokens, refresh)


def linear_out(name: str, layer: Any, axis: str, *, gate: bool, copies: int = 1, query: bool = False) -> Iterator[Cut]:
    """Cut the rows of weight and bias of a linear layer or convolution whose outputs are the units of `axis`.

    Args:
        name: of the layer in the network.
        gate, copies, query: as in `Cut`.
    """
    yield Cut(f"{name}.weight", 0, axis, copies=copies, gate=gate, query=query)
    if layer.bias is not None:
        yield Cut(f"{name}.bias", 0, axis, copies=copies, gate=gate, query=query)


def norm_cuts(name: str, norm: nn.Module, axis: str, *, gate: bool = False, copies: int = 1) -> Iterator[Cut]:
    """Cut a layer norm over `axis`; an identity has nothing to cut.

    Args:
        name: of the norm in the network.
        gate: whether its output starts the residual stream.
        copies: as in `Cut`.
    """
    if isinstance(norm, nn.LayerNorm) and norm.weight is not None:
        yield Cut(f"{name}.weight", 0, axis, copies=copies, gate=gate, norm=True)
        yield Cut(f"{name}.bias", 0, axis, copies=copies, gate=gate)


def cut_indices(cuts: Iterable[Cut], keeps: Mapping[str, Keep]) -> Indices:
    """List for each parameter the (dim, index) pairs that the kept units imply."""
    indices: Indices = {}
    for cut in cuts:
        if cut.axis in keeps:
            indices.setdefault(cut.param, []).append((cut.dim, keeps[cut.axis].index(cut)))
    return indices


def rebuild(module: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A copy of `module` with other tensors in place of the named parameters; nothing is shared, nothing mutated.

    `nn.Linear`, `nn.LayerNorm` and `nn.Conv2d` in the copy get the sizes that their tensors have.
    """
    memo = {
        id(param): nn.Parameter(tensors[name].detach().clone(), param.requires_grad)
        for name, param in module.named_parameters()
        if name in tensors
    }
    new = copy.deepcopy(module, memo)
    for child in new.modules():
        if isinstance(child, nn.Linear):
            child.out_features, child.in_features = child.weight.shape
        elif isinstance(child, nn.LayerNorm) and child.weight is not None:
            child.normalized_shape = tuple(child.weight.shape)
        elif isinstance(child, nn.Conv2d) and child.groups == 1:
            child.out_channels, child.in_channels = child.weight.shape[:2]
    return new


def corrections(cut: Cut, size: Width, full: Width) -> list[float]:
    """Factors, one a copy, with which a cut tensor computes as if its axis were masked instead of cut.

    Queries carry sqrt(d / d_full), because timm divides by sqrt(d) while the dense network divided by sqrt(d_full).
    Norm weights carry sqrt(E_full / E): faded channels counted in the dense norm's variance.

    Args:
        size: of the axis after the cut.
        full: of the axis whose function is to be kept.
    """
    if cut.norm:
        return [math.sqrt(full.units / size.units)] * cut.copies
    query = math.sqrt(size.width / full.width) if cut.query and full.width else 1.0
    return [query, *[1.0] * (cut.copies - 1)]


def cut_corrected(net: nn.Module, backbone: Backbone, keeps: Mapping[str, Keep]) -> nn.Module:
    """Cut a network to the kept units, with its corrections folded into the weights."""
    sizes = {name: _size_of(keep) for name, keep in keeps.items()}
    small = cut_network(net, backbone, keeps)
    params, tensors = dict(small.named_parameters()), dict[str, Tensor]()
    for cut in backbone.cuts:
        if cut.axis not in keeps:
            continue
        factors = corrections(cut, sizes[cut.axis], backbone.axis(cut.axis).size)
        if set(factors) != {1.0}:
            old = tensors.get(cut.param, params[cut.param].detach())
            scale = old.new_tensor(factors).repeat_interleave(old.shape[cut.dim] // cut.copies)
            tensors[cut.param] = old * scale.view(-1, *[1] * (old.dim() - cut.dim - 1))
    return rebuild(small, tensors)


def cut_network(net: nn.Module, backbone: Backbone, keeps: Mapping[str, Keep]) -> nn.Module:
    """Cut a network to the kept units; the softmax scale of the dense network is not folded in here."""
    indices = cut_indices(backbone.cuts, keeps)
    params = dict(net.named_parameters())
    new = rebuild(net, {name: shrink(params[name].detach(), dims) for name, dims in indices.items()})
    backbone.refresh(new, backbone.widths | {name: _size_of(keep) for name, keep in keeps.items()})
    return new


def _size_of(keep: Keep) -> Width:
    heads = len(keep.heads_H)
    return Width(heads, len(keep.units_U) // heads if heads else 0)


def resize(net: nn.Module, backbone: Backbone, widths: Widths) -> nn.Module:
    """Cut a network to `widths`, keeping the first units: an exported subnet's tensors are loaded into the result."""
    keeps = {}
    for name, before in backbone.widths.items():
        heads, width = widths[name]
        units = torch.arange(before.units).view(before.heads, before.width)[:heads, :width]
        keeps[name] = Keep(torch.arange(heads), units.flatten(), before)
    return cut_network(net, backbone, keeps)
