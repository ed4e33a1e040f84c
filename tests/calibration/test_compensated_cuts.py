"""Corrected and compensated cuts: what redundant units said is kept, and compensation does no harm."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import Backbone, cut_corrected, rebuild
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.calibration.compensation import compensated_readers, reader_of
from ofb_ray.method.axis import Keep, Width, keep_best
from ofb_ray.method.cost import cost, units_of
from ofb_ray.search.supernet import Supernet
from tests.nets import NETS, SHAPE, SPACE, network

BATCHES = [torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(7))]


def scores_of(backbone: Backbone) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {axis.name: torch.randn(axis.size.units, generator=generator) for axis in backbone.axes}


def half(backbone: Backbone) -> dict[str, Width]:
    """A size in the middle of every axis."""
    return {axis.name: axis.candidates[len(axis.candidates) // 2] for axis in backbone.axes}


def outputs(net: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = net.eval()(BATCHES[0])
    return found


@pytest.mark.parametrize("kind", NETS)
def test_a_corrected_cut_gives_the_outputs_of_the_masked_network(kind: str) -> None:
    """Embeddings apart, whose norms see another mean once channels are gone."""
    net = network(kind)
    backbone, scores = describe_backbone(net, SPACE), scores_of(describe_backbone(net, SPACE))
    sizes = half(backbone)
    inner = [axis for axis in backbone.axes if axis.kind != "embedding"]
    keeps = {axis.name: keep_best(scores[axis.name], axis.size, sizes[axis.name]) for axis in inner}
    masks = {axis.name: torch.ones(axis.size.units) for axis in backbone.axes} | {
        name: torch.zeros(keep.before.units).index_fill_(0, keep.units_U, 1.0) for name, keep in keeps.items()
    }
    with torch.no_grad():
        masked = Supernet(net, backbone).eval()(BATCHES[0], masks).logits
    assert torch.allclose(outputs(cut_corrected(net, backbone, keeps)), masked, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("compensated", [True, False])
def test_a_corrected_cut_costs_what_its_widths_say(kind: str, compensated: bool) -> None:
    net = network(kind)
    backbone = describe_backbone(net, SPACE)
    widths, scores = half(backbone), scores_of(backbone)
    keeps = {axis.name: keep_best(scores[axis.name], axis.size, widths[axis.name]) for axis in backbone.axes}
    mended = rebuild(net, compensated_readers(net, backbone, keeps, BATCHES)) if compensated else net
    small = cut_corrected(mended, backbone, keeps)
    assert operator_macs(small, SHAPE) == cost(backbone.macs, units_of(widths))
    assert bool(outputs(small).isfinite().all())


@pytest.mark.parametrize("kind", NETS)
def test_units_that_repeat_others_are_cut_for_nothing(kind: str) -> None:
    """Half of each MLP repeats the other half: without them, compensated, the outputs are the same."""
    net = network(kind)
    backbone = describe_backbone(net, SPACE)
    doubled = _repeated(net, backbone)
    keeps = {
        axis.name: Keep(torch.zeros(1, dtype=torch.long), torch.arange(axis.size.width // 2), axis.size)
        for axis in backbone.axes
        if axis.kind == "mlp"
    }
    mended = rebuild(doubled, compensated_readers(doubled, backbone, keeps, BATCHES))
    gap = (outputs(cut_corrected(mended, backbone, keeps)) - outputs(doubled)).abs().max()
    assert float(gap) <= 1e-4 * float(outputs(doubled).abs().max().clamp_min(1.0))


def _repeated(net: nn.Module, backbone: Backbone) -> nn.Module:
    """The second half of the units of each MLP made as the first."""
    params, tensors = dict(net.named_parameters()), dict[str, Tensor]()
    for cut in backbone.cuts:
        if cut.gate and backbone.axis(cut.axis).kind == "mlp":
            parts = params[cut.param].detach().chunk(2 * cut.copies, dim=cut.dim)
            tensors[cut.param] = torch.cat([part for part in parts[::2] for _ in range(2)], dim=cut.dim)
    return rebuild(net, tensors).eval()


@pytest.mark.parametrize("kind", NETS)
def test_compensation_never_raises_the_error_at_the_reader(kind: str) -> None:
    net = network(kind)
    backbone, scores = describe_backbone(net, SPACE), scores_of(describe_backbone(net, SPACE))
    sizes = half(backbone)
    for axis in (axis for axis in backbone.axes if axis.kind != "embedding"):
        keep = keep_best(scores[axis.name], axis.size, sizes[axis.name])
        mended = compensated_readers(net, backbone, {axis.name: keep}, BATCHES)
        reader = reader_of(axis.name, backbone)
        layer = net.get_submodule(reader)
        assert isinstance(layer, nn.Linear)
        x_NU = _inputs(net, reader)
        wanted = layer(x_NU)
        bias = mended.get(f"{reader}.bias", layer.bias)
        kept = x_NU[..., keep.units_U]
        plain = nn.functional.linear(kept, layer.weight[:, keep.units_U], layer.bias)
        made_good = nn.functional.linear(kept, mended[f"{reader}.weight"][:, keep.units_U], bias)
        assert float((made_good - wanted).detach().norm()) <= 1.0001 * float((plain - wanted).detach().norm())


def _inputs(net: nn.Module, layer: str) -> Tensor:
    seen: list[Tensor] = []
    handle = net.get_submodule(layer).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    outputs(net)
    handle.remove()
    return seen[0]


def test_norms_over_fewer_channels_are_scaled_as_if_the_others_had_faded() -> None:
    net = network("plain")
    backbone = describe_backbone(net, SPACE)
    keep = keep_best(torch.arange(32.0), Width(1, 32), Width(1, 8))
    small = cut_corrected(net, backbone, {"embed": keep})
    before, after = net.get_parameter("blocks.0.norm1.weight"), small.get_parameter("blocks.0.norm1.weight")
    assert torch.allclose(after, 2 * before[24:])


def test_embeddings_are_passed_over_and_full_axes_cost_nothing() -> None:
    net = network("plain")
    backbone = describe_backbone(net, SPACE)
    keeps = {axis.name: keep_best(torch.zeros(axis.size.units), axis.size, axis.size) for axis in backbone.axes}
    assert compensated_readers(net, backbone, keeps, BATCHES) == {}
