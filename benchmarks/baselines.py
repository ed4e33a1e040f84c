"""What OFB is compared with at an equal budget: narrowing, random subnets, magnitude pruning, Taylor pruning.

The last two want Torch-Pruning, which is imported where they are called: a machine may lack it and run the others.
"""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
    import torch_pruning as tp

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
        _refresh_attention(net)
        return net

    return _fitted(pruned, target, image)


def taylor_network(dense: nn.Module, target: int, batches: Iterable[tuple[Tensor, Tensor]], image: Shape) -> nn.Module:
    """Torch-Pruning's isomorphic pruning with Taylor importance, at the smallest ratio that fits `target` MACs.

    Head dims are ranked across all blocks, MLP units too; the embedding and the head counts stay. Of what the library
    offers this was the best. Held-out top-1 (1,000 images) of ViT-Tiny on 5,000 images of CIFAR-10 at 64 px (dense
    74.7), 512 of them to calibrate, half the MACs; before any training it is close to chance and ranks nothing, so
    most were trained for two epochs:

        embedding  heads    scores are divided by their          untrained  2 epochs
        kept       kept     nothing (this function)                   14.8      68.8
        kept       pruned   square root of the layer's mean           23.2      68.2
        kept       kept     square root of the layer's mean           21.2      64.8
        kept       kept     nothing, multivariable                     8.7      62.0
        kept       pruned   layer's mean                              25.2      58.6
        kept       kept     layer's mean (the default)                16.1      57.3
        pruned     pruned   layer's mean, head dims stay              14.6      57.2
        kept       kept     layer's mean, multivariable               15.3      55.6
        pruned     kept     nothing                                   14.0      53.5
        kept       kept     maximum / deviation (gaussian)     16.4 / 16.7
        kept       kept     layer's mean, biases count                14.2
        pruned     kept     layer's mean / square root of it   16.0 / 12.6
        pruned     kept     layer's mean, multivariable               12.6
        pruned     pruned   layer's mean, as in the paper             14.9
        `magnitude_network`                                           10.3      36.8

    A tenth of the head dims went with pruned heads; undivided scores emptied a block of heads, which is an error there.

    Args:
        batches: images (B, C, height, width) and labels (B,) to calibrate on.
    """
    gradients = _gradients(dense, batches)
    return _fitted(lambda ratio, mlp_ratio: _taylor_pruned(dense, gradients, ratio, mlp_ratio, image), target, image)


def _taylor_pruned(
    dense: nn.Module, gradients: list[Tensor | None], ratio: float, mlp_ratio: float, image: Shape
) -> nn.Module:
    import torch_pruning as tp

    net: Any = copy.deepcopy(dense).train(False)
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        parameter.grad = gradient
    blocks = list(net.blocks)
    stream = [net.patch_embed.proj, *(layer for block in blocks for layer in (block.attn.proj, block.mlp.fc2))]
    warnings.filterwarnings("ignore", message="Unwrapped parameters detected")
    pruner = tp.pruner.BasePruner(
        net,
        torch.zeros(1, *image),
        importance=tp.importance.GroupTaylorImportance(normalizer=None),
        global_pruning=True,
        isomorphic=True,
        pruning_ratio=ratio,
        pruning_ratio_dict={tuple(block.mlp.fc1 for block in blocks): mlp_ratio},
        ignored_layers=[net.head, *stream],
        num_heads={block.attn.qkv: block.attn.num_heads for block in blocks},
        prune_head_dims=True,
        # Its defaults are dictionaries that all pruners share, and fill with the layers of every network pruned.
        in_channel_groups={},
        out_channel_groups={},
    )
    pruner.step()
    _refresh_attention(net)
    net.zero_grad()
    return net  # type: ignore[no-any-return]


def _gradients(dense: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> list[Tensor | None]:
    """The gradient of every parameter, summed over `batches`, each batch's mean cross-entropy counting once."""
    net = copy.deepcopy(dense).train(False)
    for images, labels in batches:
        F.cross_entropy(net(images), labels).backward()  # type: ignore[no-untyped-call]
    return [parameter.grad for parameter in net.parameters()]


def _refresh_attention(net: nn.Module) -> None:
    """Set what timm's attention derives from its widths, which are not what they were."""
    for block in net.blocks:  # type: ignore[union-attr]
        attn = block.attn
        attn.attn_dim = attn.qkv.out_features // 3
        attn.head_dim = attn.attn_dim // attn.num_heads
        attn.scale = attn.head_dim**-0.5


def _fitted(pruned: Callable[[float, float], nn.Module], target: int, image: Shape) -> nn.Module:
    """Prune by the smallest ratio that fits `target` MACs, then the MLPs by less, as far as that leaves room.

    Args:
        pruned: the ratio of all layers but the MLPs and that of the MLPs -> the pruned network.
    """

    def fits(ratio: float, mlp_ratio: float) -> bool:
        return operator_macs(pruned(ratio, mlp_ratio), image) <= target

    ratio = _smallest_ratio(lambda ratio: fits(ratio, ratio), 0.95)
    return pruned(ratio, _smallest_ratio(lambda mlp_ratio: fits(ratio, mlp_ratio), ratio))


def _smallest_ratio(fits: Callable[[float], bool], high: float) -> float:
    """The smallest pruning ratio up to `high` (which fits) that fits, by bisection."""
    low = 0.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
