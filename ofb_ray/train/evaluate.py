"""Measure top-1 and top-5 accuracy of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ofb_ray.data import Dataset, Split
from ofb_ray.results.records import Network
from ofb_ray.train.run import autocast
from ofb_ray.train.team import current_team

BATCH = 256


class Accuracy(NamedTuple):
    """Top-1 and top-5 accuracy in percent. With fewer than five classes top-5 is 100."""

    top1: float
    top5: float


def evaluate(
    net: nn.Module, split: Split, device: torch.device, forward: Callable[[Tensor], Tensor] | None = None
) -> Accuracy:
    """Measure accuracy in eval mode, each worker on its part of the split; `net` keeps the mode that it had.

    Args:
        forward: images (B, C, height, width) -> logits (B, classes); by default `net` itself.
    """
    was_training, team = net.training, current_team()
    net.eval()
    counts = torch.zeros(3, dtype=torch.long, device=device)  # right first, right among five, all
    with torch.no_grad(), autocast(device):
        for image, label in split.test_batches(BATCH, device, team.rank, team.world):
            logits = (forward or net)(image)
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices == label[:, None]
            counts += torch.stack([best[:, 0].sum(), best.sum(), counts.new_tensor(len(label))])
    net.train(was_training)
    top1, top5, images = team.all_reduce_sum_(counts).tolist()
    return Accuracy(round(100 * top1 / images, 4), round(100 * top5 / images, 4))


def evaluate_splits(
    net: nn.Module, data: Dataset, device: torch.device, macs: int, params: int, *, test: bool = True
) -> Network:
    """Measure a trained network on the held-out part of train, which selects, and on the test split, if there is one.

    Args:
        macs: multiply-accumulates of `net` for one image.
        params: its parameters.
        test: whether to look at the test split at all.
    """
    val = evaluate(net, data.val, device)
    last = evaluate(net, data.test, device) if test and len(data.test) else None
    return Network(
        macs=macs,
        params=params,
        top1_val=val.top1,
        top5_val=val.top5,
        top1_test=None if last is None else last.top1,
        top5_test=None if last is None else last.top5,
    )
