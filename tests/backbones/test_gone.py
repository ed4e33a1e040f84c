"""Parts that go altogether: an MLP or an attention of no units leaves its residual and the bias of its last layer."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import Tensor, nn

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import Backbone, cut_corrected, rebuild
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.calibration.compensation import compensated_readers, reader_of
from ofb_ray.config import SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.export import build, make_arch
from ofb_ray.method.axis import Axis, Keep, Width, keep_best
from ofb_ray.method.bimask import BiMask
from ofb_ray.method.cost import cost, smallest, units_of
from ofb_ray.search.pruning import prune
from tests.nets import NETS, SHAPE, gone_space, images, network, optimizer_of, supernet

kinds = pytest.mark.parametrize("kind", NETS)
WITHOUT_HEADS = [kind for kind in NETS if not kind.startswith(("swin", "tnt"))]


def gone(axis: Axis) -> Keep:
    return keep_best(torch.zeros(axis.size.units), axis.size, Width(0, 0) if axis.kind == "attention" else Width(1, 0))


def can_go(kind: str) -> list[str]:
    """The first part of each kind that has a candidate of no units, and the last of all."""
    backbone = describe_backbone(network(kind), gone_space(kind))
    names = {axis.kind: axis.name for axis in reversed(backbone.axes) if not axis.candidates[0].units}
    return [*names.values(), [axis.name for axis in backbone.axes if not axis.candidates[0].units][-1]]


def with_constant(net: nn.Module, backbone: Backbone, axis: str, constant_E: Tensor) -> nn.Module:
    """The whole network, but what the reader of the axis gives is the same vector for every token."""
    changed = copy.deepcopy(net)
    changed.get_submodule(reader_of(axis, backbone)).register_forward_hook(
        lambda _module, _inputs, output: constant_E.expand_as(output)
    )
    return changed


def outputs(net: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = net.eval()(images())
    return found


@kinds
def test_what_is_left_is_the_bias_of_the_last_layer(kind: str) -> None:
    net = network(kind)
    backbone = describe_backbone(net, gone_space(kind))
    found = {backbone.axis(name).kind for name in can_go(kind)}
    assert found == ({"attention", "mlp"} if kind in WITHOUT_HEADS else {"mlp"})
    for name in can_go(kind):
        bias_E = net.get_parameter(f"{reader_of(name, backbone)}.bias").detach()
        small = cut_corrected(net, backbone, {name: gone(backbone.axis(name))})
        wanted = outputs(with_constant(net, backbone, name, bias_E))
        assert not torch.allclose(wanted, outputs(net), rtol=0.01)
        torch.testing.assert_close(outputs(small), wanted, rtol=1e-5, atol=1e-5)


@kinds
def test_compensated_the_bias_takes_the_mean_of_what_is_gone(kind: str) -> None:
    net = network(kind)
    backbone = describe_backbone(net, gone_space(kind))
    for name in can_go(kind):
        given: list[Tensor] = []
        reader = net.get_submodule(reader_of(name, backbone))
        handle = reader.register_forward_hook(lambda _m, _i, output, given=given: given.append(output.detach()))
        outputs(net)
        handle.remove()
        keeps = {name: gone(backbone.axis(name))}
        mended = rebuild(net, compensated_readers(net, backbone, keeps, [images()]))
        wanted = outputs(with_constant(net, backbone, name, given[0].flatten(0, -2).mean(dim=0)))
        torch.testing.assert_close(outputs(cut_corrected(mended, backbone, keeps)), wanted, rtol=1e-4, atol=1e-4)


@kinds
def test_the_smallest_network_runs_costs_what_its_widths_say_and_loads(kind: str) -> None:
    net = supernet(kind, gone_space(kind))
    optimizer = optimizer_of(net)
    alive = {name: torch.zeros_like(mask.alive_IJ) for name, mask in net.undecided.items()}
    for flags_IJ in alive.values():
        flags_IJ[0, 0] = True
    net = prune(net, optimizer, alive, 0.3).net
    widths = net.backbone.widths
    assert not net.undecided
    assert widths == smallest(describe_backbone(network(kind), gone_space(kind)).axes)
    assert {axis.name for axis in net.backbone.axes if not axis.size.units} >= set(can_go(kind))
    fused = net.fuse().eval()
    units = units_of(widths)
    assert cost(net.backbone.macs, units) == operator_macs(fused, SHAPE)
    assert cost(net.backbone.params, units) == sum(param.numel() for param in fused.parameters())
    assert [type(module) for module in fused.modules()] == [type(module) for module in network(kind).modules()]
    again = build(json.loads(json.dumps(make_arch(NETS[kind].name, NETS[kind].args, widths))))
    again.load_state_dict(fused.state_dict(), strict=True)
    assert outputs(again).isfinite().all()
    torch.testing.assert_close(outputs(again), outputs(fused), rtol=0, atol=0)


@kinds
def test_a_network_that_lost_parts_can_be_described_again(kind: str) -> None:
    net = network(kind)
    backbone = describe_backbone(net, gone_space(kind))
    names = set(can_go(kind))
    small = cut_corrected(net, backbone, {name: gone(backbone.axis(name)) for name in names})
    again = describe_backbone(small, gone_space(kind))
    assert {axis.name for axis in again.axes if not axis.size.units} == names
    assert cost(again.macs, units_of(again.widths)) == operator_macs(small, SHAPE)


def test_without_heads_there_is_one_candidate_whatever_the_channels() -> None:
    net = supernet("plain", gone_space("plain"))
    mask = net.mask("blocks.0.attn")
    assert isinstance(mask, BiMask)
    living = mask.axis.living(mask.alive_IJ)
    assert len(living) == len(set(living)) == 1 + 4 * len(mask.axis.width_choices)
    assert living[0] == Width(0, 0)
    assert float(mask.probabilities().detach().sum()) == pytest.approx(1.0)


def test_a_minimum_or_a_name_keeps_a_part() -> None:
    space = gone_space("plain", minima={"blocks.0.*": 0.01}, keep=["blocks.1.attn"])
    left = {axis.name for axis in describe_backbone(network("plain"), space).axes if not axis.candidates[0].units}
    assert left == {"blocks.1.mlp"}


@pytest.mark.parametrize("kind", [kind for kind in NETS if kind not in WITHOUT_HEADS])
def test_an_attention_that_does_not_run_without_heads_is_told(kind: str) -> None:
    with pytest.raises(InputError, match="cannot run without heads; take `head_min: 1`") as caught:
        describe_backbone(network(kind), SpaceSpec(head_min=0))
    assert caught.value.key == "search.space.head_min"


@pytest.mark.parametrize("kind", [kind for kind in NETS if kind not in WITHOUT_HEADS])
def test_the_modules_that_keep_a_head_still_cannot_do_without(kind: str) -> None:
    """The day timm's reshape takes none, the family may lose its attentions too."""
    net = network(kind)
    backbone = describe_backbone(net, SpaceSpec(head_min=1))
    axis = next(axis for axis in backbone.axes if axis.kind == "attention")
    with pytest.raises((RuntimeError, ZeroDivisionError)):
        outputs(cut_corrected(net, backbone, {axis.name: gone(axis)}))
