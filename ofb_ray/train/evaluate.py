"""Top-1 and top-5 accuracy of a network on a split."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ofb_ray.data.base import Split
from ofb_ray.train.run import autocast

BATCH = 512


class Accuracy(NamedTuple):
    """Percentages. With fewer than five classes top-5 is 100."""

    top1: float
    top5: float


def evaluate(
    net: nn.Module, split: Split, device: torch.device, forward: Callable[[Tensor], Tensor] | None = None
) -> Accuracy:
    """Accuracy in eval mode; the mode that `net` had is put back.

    Args:
        forward: images -> logits; by default `net` itself.
    """
    was_training = net.training
    net.eval()
    hits = torch.zeros(2, dtype=torch.long, device=device)
    with torch.no_grad(), autocast(device):
        for image, label in split.batches(BATCH, device):
            logits = (forward or net)(image)
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices == label[:, None]
            hits += torch.stack([best[:, 0].sum(), best.sum()])
    net.train(was_training)
    top1, top5 = (100 * hits.double() / len(split)).tolist()
    return Accuracy(round(top1, 4), round(top5, 4))
