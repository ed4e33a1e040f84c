"""The rivals of the benchmarks, on a network of two blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ofb_ray.backbones import create
from ofb_ray.backbones.flops import operator_macs
from tests.nets import NETS

pytest.importorskip("torch_pruning")
IMAGE = (3, 32, 32)


def vit() -> nn.Module:
    """A network whose every second MLP unit is dead."""
    torch.manual_seed(0)
    net = create(NETS["plain"])
    with torch.no_grad():
        for block in net.blocks:  # type: ignore[union-attr]
            block.mlp.fc1.weight[::2] = 0
            block.mlp.fc1.bias[::2] = 0
    return net


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(16, *IMAGE, generator=generator), torch.randint(7, (16,), generator=generator)) for _ in range(2)
    ]


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_taylor_pruning_uses_the_budget_and_leaves_a_network_to_train(share: float) -> None:
    from benchmarks.baselines import taylor_network

    dense = vit()
    target = int(share * operator_macs(dense, IMAGE))
    net = taylor_network(dense, target, batches(), IMAGE).train()
    assert 0.97 * target <= operator_macs(net, IMAGE) <= target
    assert all(parameter.grad is None for parameter in [*net.parameters(), *dense.parameters()])
    images, labels = batches()[0]
    F.cross_entropy(net(images), labels).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())


def test_taylor_pruning_cuts_first_what_the_loss_does_not_depend_on() -> None:
    from benchmarks.baselines import taylor_network

    dense = vit()
    net = taylor_network(dense, int(0.7 * operator_macs(dense, IMAGE)), batches(), IMAGE)
    for block in net.blocks:  # type: ignore[union-attr]
        alive = block.mlp.fc1.weight.norm(dim=1) > 0
        assert len(alive) < 128
        assert alive.sum() == 64
