"""What every backbone family owes: these tests run on each network of `tests/nets.py`."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ofb_ray.backbones import create, describe
from ofb_ray.export import build, make_arch
from ofb_ray.measure import operator_macs
from ofb_ray.method.axis import Width
from ofb_ray.method.bimask import BiMask
from ofb_ray.method.cost import cost, units_of
from ofb_ray.pruning import Alive, prune
from ofb_ray.spec import SearchSpec
from ofb_ray.supernet import Supernet
from ofb_ray.train.optim import make_search_optimizer
from tests.nets import NETS, SHAPE, images, network, supernet

kinds = pytest.mark.parametrize("kind", NETS)


def only(net: Supernet, choose: dict[str, Width]) -> Alive:
    """Alive flags that leave one size of each named axis."""
    alive = {}
    for name, size in choose.items():
        mask = net.undecided[name]
        alive[name] = torch.tensor([candidate == size for candidate in mask.axis.candidates]).view_as(mask.alive_IJ)
    return alive


def random_alive(net: Supernet, seed: int) -> Alive:
    """Random survivors of every undecided axis, at least one each."""
    generator = torch.Generator().manual_seed(seed)
    alive = {}
    for name, mask in net.undecided.items():
        flags = mask.alive_IJ & (torch.rand(mask.alive_IJ.shape, generator=generator) < 0.5)
        if not flags.any():
            first = mask.alive_IJ.flatten().nonzero()[0]
            flags = (
                torch.zeros(mask.alive_IJ.numel(), dtype=torch.bool).index_fill(0, first, True).view_as(mask.alive_IJ)
            )
        alive[name] = flags
    return alive


def optimizer_of(net: Supernet) -> torch.optim.Optimizer:
    return make_search_optimizer(net, SearchSpec(), 10)


def decide(net: Supernet, seed: int = 0) -> Supernet:
    """Cut at random until every axis is decided."""
    optimizer = optimizer_of(net)
    while net.undecided:
        pruned = prune(net, optimizer, random_alive(net, seed), 0.3)
        net, optimizer, seed = pruned.net, pruned.optimizer, seed + 1
    return net.eval()


@kinds
def test_strict_load_after_every_cut(kind: str) -> None:
    net = supernet(kind)
    optimizer = optimizer_of(net)
    cuts = 0
    while net.undecided:
        pruned = prune(net, optimizer, random_alive(net, cuts), 0.3)
        net, optimizer, cuts = pruned.net, pruned.optimizer, cuts + 1
        model = NETS[kind]
        vessel = build(make_arch(model.name, model.args, net.backbone.widths))
        vessel.load_state_dict(net.net.state_dict(), strict=True)
        net.net.eval()
        vessel.eval()
        torch.testing.assert_close(vessel(images()), net.net(images()), rtol=0, atol=0)
    assert cuts > 1


@kinds
@pytest.mark.parametrize("axis", ["blocks.1.attn", "blocks.0.mlp"])
def test_shrinking_equals_zeroing(kind: str, axis: str) -> None:
    net = supernet(kind)
    size = Width(2, 4) if axis.endswith("attn") else Width(1, 32)
    ones = {a.name: torch.ones(a.size.units) for a in net.backbone.axes}
    small = prune(net, optimizer_of(net), only(net, {axis: size}), 0.3).net.eval()
    kept = torch.zeros(ones[axis].shape)
    mask = net.mask(axis)
    assert isinstance(mask, BiMask)
    before = mask.axis.size
    scores = mask.score_U.detach().view(before.heads, before.width)
    heads = scores.sigmoid().sum(dim=1).topk(size.heads).indices
    for head in heads.tolist():
        kept.view(before.heads, before.width)[head, scores[head].topk(size.width).indices] = 1
    zeroed = net(images(), ones | {axis: kept}).logits
    shrunk = small(images(), ones | {axis: torch.ones(size.units)}).logits
    torch.testing.assert_close(shrunk, zeroed, rtol=1e-5, atol=1e-5)


@kinds
def test_fuse_keeps_the_function(kind: str) -> None:
    net = decide(supernet(kind))
    with torch.no_grad():
        for gate in net.masks.parameters():
            gate.copy_(torch.rand_like(gate) + 0.5)
    masked = net(images(), net.unit_masks({}, 0.0)).logits
    assert net.backbone.widths != supernet(kind).backbone.widths
    torch.testing.assert_close(net.fuse()(images()), masked, rtol=1e-5, atol=1e-5)


@kinds
def test_fused_network_is_timm_and_torch_only(kind: str) -> None:
    dense = network(kind)
    fused = decide(supernet(kind)).fuse()
    assert [type(module) for module in fused.modules()] == [type(module) for module in dense.modules()]
    for module in fused.modules():
        assert type(module).__module__.split(".")[0] in ("timm", "torch")
        assert not module._forward_hooks


@kinds
def test_arch_survives_json(kind: str) -> None:
    net = decide(supernet(kind))
    fused = net.fuse().eval()
    model = NETS[kind]
    arch = json.loads(json.dumps(make_arch(model.name, model.args, net.backbone.widths)))
    again = build(arch)
    again.load_state_dict(fused.state_dict(), strict=True)
    torch.testing.assert_close(again.eval()(images()), fused(images()), rtol=0, atol=0)


@kinds
@pytest.mark.parametrize("seed", range(3))
def test_cost_equals_operator_count(kind: str, seed: int) -> None:
    net = decide(supernet(kind), seed)
    fused = net.fuse()
    units = units_of(net.backbone.widths)
    assert cost(net.backbone.macs, units) == operator_macs(fused, SHAPE)
    assert cost(net.backbone.params, units) == sum(param.numel() for param in fused.parameters())


@kinds
def test_next_adamw_step_on_survivors_is_equal(kind: str) -> None:
    """Zeroed units and cut units leave the survivors the same weights after the next step, moments included."""
    net = supernet(kind)
    optimizer = optimizer_of(net)
    choose = {"blocks.0.attn": Width(2, 8), "blocks.1.mlp": Width(1, 48)}
    alive = only(net, choose)
    ones = {axis.name: torch.ones(axis.size.units) for axis in net.backbone.axes}
    for _ in range(3):
        _step(net, optimizer, ones)
    kept = {}
    for name, size in choose.items():
        mask = net.undecided[name]
        assert size.width == mask.axis.size.width or size.heads == 1
        order = (
            mask.score_U.detach()
            .view(-1, 1 if size.heads == 1 else size.width)
            .sigmoid()
            .sum(dim=1)
            .argsort(descending=True)
        )
        rows = order[: size.heads if size.heads > 1 else size.width].sort().values
        kept[name] = (
            rows[:, None] * (mask.axis.size.units // len(order)) + torch.arange(mask.axis.size.units // len(order))
        ).flatten()
    pruned = prune(net, optimizer, alive, 0.3)
    zeros = {name: torch.zeros(len(ones[name])).index_fill(0, index, 1.0) for name, index in kept.items()}
    _step(net, optimizer, ones | zeros)
    _step(pruned.net, pruned.optimizer, ones | {name: torch.ones(len(index)) for name, index in kept.items()})
    large, small = dict(net.net.named_parameters()), dict(pruned.net.net.named_parameters())
    torch.testing.assert_close(small["blocks.1.mlp.fc1.weight"], large["blocks.1.mlp.fc1.weight"][kept["blocks.1.mlp"]])
    torch.testing.assert_close(
        small["blocks.1.mlp.fc2.weight"], large["blocks.1.mlp.fc2.weight"][:, kept["blocks.1.mlp"]]
    )
    attn = kept["blocks.0.attn"]
    rows = torch.cat([attn, attn + 32, attn + 64])
    torch.testing.assert_close(small["blocks.0.attn.qkv.weight"], large["blocks.0.attn.qkv.weight"][rows])
    torch.testing.assert_close(small["blocks.0.attn.proj.weight"], large["blocks.0.attn.proj.weight"][:, attn])
    for name, param in small.items():
        if param.shape == large[name].shape:
            torch.testing.assert_close(param, large[name], msg=name)


def _step(net: Supernet, optimizer: torch.optim.Optimizer, masks: dict[str, Tensor]) -> None:
    loss = F.cross_entropy(net(images(), masks).logits, torch.arange(4))
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@kinds
def test_prune_leaves_the_old_network_alone(kind: str) -> None:
    net = supernet(kind)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    pruned = prune(net, optimizer_of(net), random_alive(net, 5), 0.3)
    with torch.no_grad():
        for param in pruned.net.parameters():
            param.zero_()
    assert net.state_dict().keys() == before.keys()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


@kinds
def test_dense_network_with_masks_of_one_is_unchanged(kind: str) -> None:
    net = supernet(kind)
    ones = {axis.name: torch.ones(axis.size.units) for axis in net.backbone.axes}
    torch.testing.assert_close(net(images(), ones).logits, net.net(images()), rtol=0, atol=0)


@kinds
def test_masked_tokens_keep_their_position(kind: str) -> None:
    """PMIM replaces tokens before positions are added: two masked patches give different features."""
    net = supernet(kind)
    ones = {axis.name: torch.ones(axis.size.units) for axis in net.backbone.axes}
    everything = torch.ones(4, 16, dtype=torch.bool)
    picture = net(images(), ones, everything).image
    assert picture is not None
    assert picture.shape == (4, *SHAPE)
    assert not torch.allclose(picture[:, :, :8, :8], picture[:, :, 8:16, 8:16])
    torch.testing.assert_close(picture[0], picture[1])  # nothing of the image is left
    assert all(not module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(("name", "gmacs"), [("tiny", 1.254), ("small", 4.599), ("base", 17.564)])
def test_deit_macs(name: str, gmacs: float) -> None:
    """Plain MACs of DeiT at 197 tokens, equal to the operator count."""
    net = create(NETS["plain"].model_copy(update={"name": f"deit_{name}_patch16_224", "args": {}}))
    backbone = describe(net, SearchSpec().space)
    macs = cost(backbone.macs, units_of(backbone.widths))
    assert round(macs / 1e9, 3) == gmacs
    assert macs == operator_macs(net, (3, 224, 224))


def test_unsupported_networks_are_refused() -> None:
    from ofb_ray.errors import InputError

    with pytest.raises(InputError, match="attention pooling"):
        describe(
            create(NETS["plain"].model_copy(update={"name": "vit_base_patch16_siglip_224", "args": {"depth": 1}})),
            SearchSpec().space,
        )
    with pytest.raises(InputError, match="ResNet"):
        describe(create(NETS["plain"].model_copy(update={"name": "resnet18", "args": {}})), SearchSpec().space)
