"""What decays, and how learning rates fall by layer."""

from __future__ import annotations

import pytest
from torch import nn

from ofb_ray.backbones import FAMILIES
from ofb_ray.config import FinetuneSpec, SearchSpec
from ofb_ray.train.optim import make_optimizer, network_groups, undecayed
from tests.nets import NETS, network

_ATTENTION = "layers.{}.blocks.{}.attn.relative_position_bias_table"
# Tokens and positions of the networks in tests/nets.py, by name.
TOKENS = {
    "plain": {"cls_token", "pos_embed"},
    "distilled": {"cls_token", "dist_token", "pos_embed"},
    "deit3": {"cls_token", "pos_embed"},
    "registers": {"cls_token", "reg_token", "pos_embed"},
    "swin": {_ATTENTION.format(stage, block) for stage in range(3) for block in range(2)},
    "swin_drop_path": {
        _ATTENTION.format(stage, block) for stage, blocks in enumerate((1, 2, 1, 1)) for block in range(blocks)
    },
    "tnt": {"cls_token", "pixel_pos", "patch_pos"},
    "tnt_legacy": {"cls_token", "pixel_pos", "patch_pos"},
}
kinds = pytest.mark.parametrize("kind", NETS)


@kinds
def test_tokens_positions_and_what_has_one_dimension_do_not_decay(kind: str) -> None:
    net = network(kind)
    weight, plain = network_groups(net, SearchSpec(weight_decay=0.07))
    assert (weight["role"], weight["weight_decay"]) == ("weight", 0.07)
    assert (plain["role"], plain["weight_decay"]) == ("plain", 0.0)
    flat = {name for name, param in net.named_parameters() if param.dim() == 1}
    order = [id(param) for name, param in net.named_parameters() if name in TOKENS[kind] | flat]
    assert [id(param) for param in plain["params"]] == order
    order = [id(param) for name, param in net.named_parameters() if name not in TOKENS[kind] | flat]
    assert [id(param) for param in weight["params"]] == order


@kinds
def test_a_family_declares_every_parameter_that_is_no_weight_of_a_layer(kind: str) -> None:
    """A new family whose tokens are not declared would see them decay."""
    net = network(kind)
    layers = (nn.Linear, nn.Conv2d, nn.LayerNorm)
    loose = {
        f"{owner}.{name}".lstrip(".")
        for owner, module in net.named_modules()
        if not isinstance(module, layers)
        for name, param in module.named_parameters(recurse=False)
        if param.dim() > 1
    }
    declared = next(family.tokens for cls, family in FAMILIES.items() if isinstance(net, cls))
    assert loose == {name for name, _ in net.named_parameters() if name.rpartition(".")[2] in declared}
    assert loose <= undecayed(net)


def test_a_network_of_no_family_has_what_timm_exempts() -> None:
    class Named(nn.Linear):
        def no_weight_decay(self) -> set[str]:
            return {"weight"}

    assert undecayed(nn.Linear(2, 2)) == {"bias"}
    assert undecayed(Named(2, 2)) == {"weight", "bias"}


@pytest.mark.parametrize("kind", ["plain", "swin"])
def test_rates_fall_by_layer_below_the_head(kind: str) -> None:
    net = network(kind)
    names = {id(param): name for name, param in net.named_parameters()}
    optimizer = make_optimizer(net, FinetuneSpec(lr=1.0, min_lr=0.1, layer_decay=0.5))
    peak = {names[id(param)]: group["peak"] for group in optimizer.param_groups for param in group["params"]}
    decay = {names[id(param)]: group["weight_decay"] for group in optimizer.param_groups for param in group["params"]}
    assert peak.keys() == set(names.values())
    head = next(name for name in peak if name.startswith("head") and name.endswith("weight"))
    stem = "patch_embed.proj.weight"
    blocks = [name for name in peak if name.endswith("mlp.fc1.weight")]
    ladder = [peak[name] for name in (stem, *blocks, head)]
    assert ladder == sorted(ladder)
    assert len(set(ladder)) >= 3
    assert peak[head] == 1.0
    assert peak[blocks[0]] == 0.5 * peak[blocks[1]]
    floors = {group["floor"] / group["peak"] for group in optimizer.param_groups}
    assert all(floor == pytest.approx(0.1) for floor in floors)
    assert {name for name, value in decay.items() if value} == {
        name for name, param in net.named_parameters() if param.dim() > 1 and name not in TOKENS[kind]
    }
