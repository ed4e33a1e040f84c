"""What every backbone family owes: these tests run on each network of `tests/nets.py`."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ofb_ray.backbones.base import cut_indices, cut_network
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.export import build, make_arch
from ofb_ray.method.axis import Keep, Width, keep_best, shrink
from ofb_ray.method.bimask import BiMask
from ofb_ray.method.cost import cost, units_of
from ofb_ray.search.pruning import Alive, prune
from ofb_ray.search.supernet import Supernet
from tests.nets import NETS, SHAPE, decide, images, network, optimizer_of, random_alive, supernet

kinds = pytest.mark.parametrize("kind", NETS)


def axes_of(net: Supernet, kind: str) -> list[str]:
    """The names of the attention or MLP axes, in order."""
    return [axis.name for axis in net.backbone.axes if axis.kind == kind]


def only(net: Supernet, choose: dict[str, Width]) -> Alive:
    """Alive flags that leave one size of each named axis."""
    alive = {}
    for name, size in choose.items():
        mask = net.undecided[name]
        alive[name] = torch.tensor([candidate == size for candidate in mask.axis.candidates]).view_as(mask.alive_IJ)
    return alive


@kinds
def test_strict_load_after_every_cut(kind: str) -> None:
    net = supernet(kind)
    optimizer = optimizer_of(net)
    cuts = 0
    while net.undecided:
        pruned = prune(net, optimizer, random_alive(net, cuts), 0.3)
        net, optimizer, cuts = pruned.net, pruned.optimizer, cuts + 1
        vessel = build(make_arch(NETS[kind].name, NETS[kind].args, net.backbone.widths))
        vessel.load_state_dict(net.net.state_dict(), strict=True)
        net.net.eval()
        vessel.eval()
        torch.testing.assert_close(vessel(images()), net.net(images()), rtol=0, atol=0)
    assert cuts > 1


@kinds
@pytest.mark.parametrize(("part", "number"), [("attention", 1), ("attention", -1), ("mlp", 0), ("mlp", -1)])
def test_shrinking_equals_zeroing(kind: str, part: str, number: int) -> None:
    net = supernet(kind)
    axis = axes_of(net, part)[number]
    full = net.backbone.axis(axis).size
    size = Width(full.heads // 2, full.width // 2) if part == "attention" else Width(1, full.width // 4)
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
def test_shrinking_an_embedding_equals_zeroing_but_for_the_norms(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Norms that only scale do not count channels: then a zeroed stream and a shrunk one are the same function."""
    net = supernet(kind)
    backbone = net.backbone
    with torch.no_grad():
        for cut in backbone.cuts:
            if cut.norm:
                net.net.get_parameter(cut.param.removesuffix("weight") + "bias").zero_()
    monkeypatch.setattr(F, "layer_norm", lambda x, _shape, weight, bias, _eps=0.0: x * weight + bias)
    ones = {axis.name: torch.ones(axis.size.units) for axis in backbone.axes}
    generator = torch.Generator().manual_seed(2)
    for name in axes_of(net, "embedding"):
        full = backbone.axis(name).size
        kept = torch.randperm(full.units, generator=generator)[: full.units // 2].sort().values
        zeros = torch.zeros(full.units).index_fill(0, kept, 1.0)
        small = cut_network(net.net, backbone, {name: Keep(torch.tensor([0]), kept, full)})
        wanted = net(images(), ones | {name: zeros}).logits
        assert not torch.allclose(wanted, net.net(images()), rtol=0.01)
        torch.testing.assert_close(small(images()), wanted, rtol=1e-4, atol=1e-4)


@kinds
def test_fuse_keeps_the_function(kind: str) -> None:
    net = decide(supernet(kind))
    with torch.no_grad():
        for gate in net.masks.parameters():
            gate.copy_(torch.rand_like(gate) + 0.5)
    masked = net(images(), net.unit_masks(net.probabilities(), 0.0)).logits
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
    arch = make_arch(NETS[kind].name, NETS[kind].args, net.backbone.widths)
    again = build(json.loads(json.dumps(arch)))
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
    net = supernet(kind).double()  # the gradient of a key's bias is rounding noise, which AdamW would blow up
    optimizer = optimizer_of(net)
    attention, mlp = axes_of(net, "attention")[0], axes_of(net, "mlp")[1]
    heads, width = net.backbone.axis(attention).size
    choose = {attention: Width(heads // 2, width), mlp: Width(1, net.backbone.axis(mlp).size.width * 3 // 8)}
    ones = {axis.name: torch.ones(axis.size.units).double() for axis in net.backbone.axes}
    for _ in range(3):
        _step(net, optimizer, ones)
    masks = {name: net.undecided[name] for name in choose}
    keeps = {name: keep_best(mask.score_U, mask.axis.size, choose[name]) for name, mask in masks.items()}
    pruned = prune(net, optimizer, only(net, choose), 0.3)
    zeros = {name: torch.zeros_like(ones[name]).index_fill(0, keep.units_U, 1.0) for name, keep in keeps.items()}
    _step(net, optimizer, ones | zeros)
    _step(pruned.net, pruned.optimizer, ones | {name: ones[name][keep.units_U] for name, keep in keeps.items()})
    large, small = dict(net.net.named_parameters()), dict(pruned.net.net.named_parameters())
    indices = cut_indices(net.backbone.cuts, keeps)
    assert small.keys() == large.keys()
    assert {f"{attention}.proj.weight", f"{mlp}.fc1.weight"} <= indices.keys()
    for name, param in small.items():
        torch.testing.assert_close(param, shrink(large[name], indices.get(name, [])), msg=name)


def _step(net: Supernet, optimizer: torch.optim.Optimizer, masks: dict[str, Tensor]) -> None:
    loss = F.cross_entropy(net(images().double(), masks).logits, torch.arange(4))
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
    tokens = net.backbone.tokens
    everything = torch.ones(4, tokens.grid[0] * tokens.grid[1], dtype=torch.bool)
    picture = net(images(), ones, everything).image
    assert picture is not None
    assert picture.shape == (4, *SHAPE)
    side = tokens.stride
    if getattr(net.net, "pos_embed", None) is not None:  # relative positions say nothing where all tokens are equal
        assert not torch.allclose(picture[:, :, :side, :side], picture[:, :, :side, side : 2 * side], atol=1e-2)
    torch.testing.assert_close(picture[0], picture[1])  # nothing of the image is left
    assert all(not module._forward_hooks for module in net.modules())


@kinds
def test_a_masked_patch_is_not_seen_and_the_others_are(kind: str) -> None:
    """The flags are row by row on the grid of features, stride x stride pixels each, also where the stem is finer."""
    net = supernet(kind)
    ones = {axis.name: torch.ones(axis.size.units) for axis in net.backbone.axes}
    (rows, columns), side = net.backbone.tokens.grid, net.backbone.tokens.stride
    assert (rows * side, columns * side) == SHAPE[1:]
    mask = torch.zeros(4, rows * columns, dtype=torch.bool)
    mask[:, columns - 1] = True  # the end of the first row
    before = net(images(), ones, mask).image
    assert before is not None
    for row, column, hidden in ((0, columns - 1, True), (0, columns - 2, False), (1, columns - 1, False)):
        image = images()
        image[:, :, row * side + side // 2, column * side + side // 2] += 1.0
        after = net(image, ones, mask).image
        assert after is not None
        assert torch.equal(before, after) is hidden
