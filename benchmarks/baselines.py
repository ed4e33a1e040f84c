"""What OFB is compared with at an equal budget: narrowing, random subnets, magnitude pruning."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable

import torch
import torch_pruning as tp
from torch import nn

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.backbones.base import cut_network, resize
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.config import ModelSpec, SpaceSpec
from ofb_ray.method.axis import Keep, Width
from ofb_ray.method.cost import cost, units_of

Shape = tuple[int, int, int]


def uniform_network(model: ModelSpec, target: int, seed: int) -> nn.Module:
    """A fresh network, every width narrowed by one factor; the MLPs take up what is left of `target` MACs."""
    torch.manual_seed(seed)
    net = create(model)
    backbone = describe_backbone(net, SpaceSpec())

    def macs(widths: dict[str, Width]) -> int:
        return cost(backbone.macs, units_of(widths))

    def narrowed(share: float) -> dict[str, Width]:
        def size(axis: str, full: Width) -> Width:
            return Width(full.heads, max(1, int(share * full.width)))

        return {axis.name: size(axis.name, axis.full) for axis in backbone.axes}

    share = max(step / 1000 for step in range(1, 1001) if macs(narrowed(step / 1000)) <= target)
    widths = narrowed(share)
    while True:
        wider = {
            name: Width(1, width.width + name.endswith("mlp")) if width.heads == 1 else width
            for name, width in widths.items()
        }
        if macs(wider) > target:
            return resize(net, backbone, widths)
        widths = wider


def random_network(dense: nn.Module, target: int, seed: int) -> nn.Module:
    """Random sizes of OFB's own candidate grid that cost 99 to 100 % of `target`, random units of the dense network."""
    rng = random.Random(seed)
    backbone = describe_backbone(dense, SpaceSpec())
    while True:
        widths = {axis.name: rng.choice(axis.candidates) for axis in backbone.axes}
        if 0.99 * target <= cost(backbone.macs, units_of(widths)) <= target:
            return cut_network(
                dense, backbone, {axis.name: _random_keep(axis.size, widths[axis.name], rng) for axis in backbone.axes}
            )


def _random_keep(before: Width, after: Width, rng: random.Random) -> Keep:
    heads = sorted(rng.sample(range(before.heads), after.heads))
    units = [
        head * before.width + unit for head in heads for unit in sorted(rng.sample(range(before.width), after.width))
    ]
    return Keep(torch.tensor(heads), torch.tensor(units), before)


def magnitude_network(dense: nn.Module, target: int, image: Shape) -> nn.Module:
    """Torch-Pruning's group magnitude pruner, one ratio for all layers, at the smallest ratio that fits `target` MACs.

    Head counts stay, channels inside heads are pruned, as in that library's own Vision Transformer example. Few
    channels a head make coarse steps, so the MLPs' ratio is lowered afterwards until the budget is used up.
    """

    def pruned(ratio: float, mlp_ratio: float) -> nn.Module:
        net = copy.deepcopy(dense).train(False)
        heads = {block.attn.qkv: block.attn.num_heads for block in net.blocks}  # type: ignore[union-attr]
        warnings.filterwarnings("ignore", message="Unwrapped parameters detected")
        pruner = tp.pruner.BasePruner(
            net,
            torch.zeros(1, *image),
            importance=tp.importance.GroupMagnitudeImportance(),
            pruning_ratio=ratio,
            pruning_ratio_dict={block.mlp.fc1: mlp_ratio for block in net.blocks},  # type: ignore[union-attr]
            ignored_layers=[net.head],
            num_heads=heads,
            prune_head_dims=True,
        )
        pruner.step()
        for block in net.blocks:  # type: ignore[union-attr]
            attn = block.attn
            attn.attn_dim = attn.qkv.out_features // 3
            attn.head_dim = attn.attn_dim // attn.num_heads
            attn.scale = attn.head_dim**-0.5
        return net

    ratio = _smallest_ratio(lambda ratio: operator_macs(pruned(ratio, ratio), image) <= target, 0.95)
    return pruned(
        ratio, _smallest_ratio(lambda mlp_ratio: operator_macs(pruned(ratio, mlp_ratio), image) <= target, ratio)
    )


def _smallest_ratio(fits: Callable[[float], bool], high: float) -> float:
    """The smallest pruning ratio up to `high` (which fits) that fits, by bisection."""
    low = 0.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
