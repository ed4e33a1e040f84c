"""Initialise the importance scores by the gradients of the dense network."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

from ofb_ray.data import EpochPlan, Split
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.run import Run, autocast

# sigmoid(2.5) = 0.92: the masked network starts close to the dense one.
_CENTRE = 2.5
_BATCHES, _BATCH = 8, 64


def init_scores(net: Supernet, split: Split, run: Run) -> None:
    """Set every score s to 2.5 + the unit's standardised log Taylor importance within its axis.

    The first-order importance of unit u is the mean over micro-batches of (dL/dm_u)^2 at m = 1: by how much the loss
    would move if the unit's mask moved. Only its rank decides what is cut first; standardising keeps scores of all
    axes on one scale. Not in the paper, whose scores start as noise (`search.score_init: random`).
    """
    squares = {name: torch.zeros_like(mask.score_U) for name, mask in net.undecided.items()}
    was_training = net.training
    net.eval()
    plan = EpochPlan(min(_BATCH, len(split)), run.seed_epoch(0), augment=False)
    for batch in itertools.islice(split.train_batches(plan, run.device), _BATCHES):
        masks = {axis.name: torch.ones(axis.size.units, device=run.device) for axis in net.backbone.axes}
        for name in squares:
            masks[name].requires_grad_()
        with autocast(run.device):
            loss = F.cross_entropy(net(batch.image, masks).logits, batch.label)
        for name, grad in zip(squares, torch.autograd.grad(loss, [masks[name] for name in squares]), strict=True):
            squares[name] += grad.float() ** 2
    net.train(was_training)
    with torch.no_grad():
        for name, mask in net.undecided.items():
            mask.score_U.copy_(_CENTRE + _standardised(squares[name]))


def _standardised(square_U: Tensor) -> Tensor:
    log = square_U.clamp_min(1e-30).log()
    return ((log - log.mean()) / log.std().clamp_min(1e-6)).clamp(-3, 3)
