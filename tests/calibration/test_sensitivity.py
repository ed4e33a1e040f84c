"""Sensitivities equal what cutting one axis alone, compensated, does to the outputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import Backbone, cut_network
from ofb_ray.calibration.compensation import compensate
from ofb_ray.calibration.sensitivity import Meter, sensitivities
from ofb_ray.calibration.statistics import input_moments
from ofb_ray.method.axis import Axis, Width, keep_best
from tests.nets import NETS, SPACE, gone_space, images, network

BATCHES = [images(4), images(6)[4:]]


def scores_of(backbone: Backbone) -> dict[str, Tensor]:
    torch.manual_seed(3)
    return {axis.name: torch.randn(axis.size.units) for axis in backbone.axes}


@pytest.mark.parametrize("kind", NETS)
def test_they_equal_the_divergence_of_a_network_that_is_really_cut(kind: str) -> None:
    net = network(kind)
    backbone = describe_backbone(net, SPACE)
    scores = scores_of(backbone)
    meter = Meter(net, backbone, BATCHES, scores)
    for axis in [axis for axis in backbone.axes if axis.kind != "embedding"][-2:]:
        for size in (axis.candidates[0], Width(axis.size.heads, axis.width_choices[0])):
            small = really_cut(net, backbone, axis, size, scores[axis.name])
            whole = torch.cat(BATCHES)
            with torch.no_grad():
                wanted = float(F.kl_div(small(whole).log_softmax(-1), net(whole).softmax(-1), reduction="batchmean"))
            assert meter.delta(axis, size) == pytest.approx(wanted, rel=1e-3, abs=1e-6)


def really_cut(net: nn.Module, backbone: Backbone, axis: Axis, size: Width, score_U: Tensor) -> nn.Module:
    """The smaller network, its reader compensated, its softmax scale that of the dense network."""
    reader = next(
        cut.param.removesuffix(".weight")
        for cut in backbone.cuts
        if cut.axis == axis.name and cut.dim == 1 and not cut.per_head
    )
    keep = keep_best(score_U, axis.size, size)
    layer = net.get_submodule(reader)
    assert isinstance(layer, nn.Linear)
    moment_GG = input_moments(net, [reader], BATCHES)[reader]
    weight, bias = compensate(
        layer.weight.detach(), None if layer.bias is None else layer.bias.detach(), keep.units_U, moment_GG
    )
    small = cut_network(net, backbone, {axis.name: keep})
    with torch.no_grad():
        small.get_parameter(f"{reader}.weight").copy_(weight)
        if bias is not None:
            small.get_parameter(f"{reader}.bias").copy_(bias)
        for cut in backbone.cuts:
            if cut.axis == axis.name and cut.query:
                param = small.get_parameter(cut.param)
                param[: len(param) // cut.copies] *= (size.width / axis.size.width) ** 0.5
    return small


def test_smaller_sizes_never_cost_less_and_the_full_size_nothing() -> None:
    net = network("plain")
    backbone = describe_backbone(net, SPACE)
    told: list[tuple[int, int]] = []
    meter = Meter(net, backbone, BATCHES, scores_of(backbone))
    found = sensitivities(meter, backbone.axes, lambda done, total, rest: told.append((done, total)))
    for delta_IJ in found.values():
        assert float(delta_IJ[-1, -1]) == 0.0
        assert bool((delta_IJ.diff(dim=0) <= 0).all())
        assert bool((delta_IJ.diff(dim=1) <= 0).all())
    assert told == [(number + 1, len(backbone.axes)) for number in range(len(backbone.axes))]


@pytest.mark.parametrize("kind", ["plain", "swin"])
def test_a_part_that_goes_costs_what_removing_it_does_and_no_size_of_it_more(kind: str) -> None:
    net = network(kind)
    backbone = describe_backbone(net, gone_space(kind))
    scores = scores_of(backbone)
    meter = Meter(net, backbone, BATCHES, scores)
    whole = torch.cat(BATCHES)
    axes = [axis for axis in backbone.axes if not axis.candidates[0].units]
    for name, delta_IJ in sensitivities(meter, axes).items():
        axis = backbone.axis(name)
        small = really_cut(net, backbone, axis, axis.candidates[0], scores[name])
        with torch.no_grad():
            wanted = float(F.kl_div(small(whole).log_softmax(-1), net(whole).softmax(-1), reduction="batchmean"))
        assert float(delta_IJ[0, 0]) == pytest.approx(wanted, rel=1e-3, abs=1e-6)
        assert delta_IJ.max() == delta_IJ[0, 0]
        assert bool((delta_IJ[0] == delta_IJ[0, 0]).all()) or axis.kind == "mlp"


def test_measuring_leaves_the_network_as_it_was() -> None:
    net = network("swin")
    backbone = describe_backbone(net, SPACE)
    before = net(BATCHES[0])
    meter = Meter(net, backbone, BATCHES, scores_of(backbone))
    meter.delta(backbone.axes[-1], backbone.axes[-1].candidates[0])
    assert torch.equal(net(BATCHES[0]), before)
