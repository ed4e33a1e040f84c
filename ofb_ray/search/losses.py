"""Compute the losses of a search step: task, one-hot, budget and reconstruction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ofb_ray.config import SearchSpec
from ofb_ray.data import Batch
from ofb_ray.method.bimask import importance
from ofb_ray.method.losses import adaptive_one_hot_loss, budget_loss, score_penalty
from ofb_ray.method.pmim import balanced_weight, reconstruction_loss, token_mask
from ofb_ray.method.projection import Goal
from ofb_ray.method.schedule import linear_then_constant
from ofb_ray.search.axis_batch import Probabilities
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.run import Run, autocast
from ofb_ray.train.targets import Teacher, apply_mixup, task_loss


class SearchLosses(nn.Module):
    """Computes the losses of one part of a step; a module, so that a team can wrap it.

    Args:
        goal: the budget on the candidate grid.
        dense_cost: of the dense network, in the goal's resource.
        classes: of the data set.
        teacher: network to distil from, if any.
    """

    def __init__(
        self,
        net: Supernet,
        spec: SearchSpec,
        goal: Goal,
        dense_cost: int,
        classes: int,
        run: Run,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.spec, self.goal, self.dense_cost, self.classes = spec, goal, dense_cost, classes
        self.run, self.teacher = run, teacher

    def forward(self, batch: Batch, seed: int, progress: float, budget_weight: float) -> Tensor:
        """Compute the four weighted losses (4,): task, one-hot, budget, reconstruction; training minimises their sum.

        L_cls + 0.5 sum L_onehot + w_b L_budget + stop_gradient(L_cls / L_rec) L_rec with the weights of the spec.

        Args:
            seed: of this step's token masks, the same for all its parts.
            progress: share of the search that is done, in [0, 1].
            budget_weight: w_b.
        """
        spec, net = self.spec, self.net
        p = net.probabilities()
        masks = net.unit_masks(p, current_lambda(spec, progress), spec.mask)
        image, label, mask_BN, masked = batch.image, batch.label, None, None
        if not p:
            image, label = apply_mixup(image, label, self.classes, spec)
        elif spec.pmim_mode != "off":
            mask_BN, masked = self._token_mask(batch, seed, progress)
        with autocast(image.device):
            output = net(image, masks, mask_BN)
        teaching = None if self.teacher is None else (self.teacher.spec, self.teacher.logits(image))
        task = task_loss(output.logits.float(), label, spec.label_smoothing, teaching)
        one_hot = budget = reconstruction = task.new_zeros(())
        if p:
            one_hot = spec.one_hot_weight * _one_hot(net, p, spec)
            expected = net.expected_cost(self.goal.terms, p)
            budget = budget_weight * budget_loss(expected, aim(self.goal), self.dense_cost)
        if mask_BN is not None and output.image is not None:
            grid = net.backbone.tokens.grid
            reconstruction = reconstruction_loss(output.image.float(), image, mask_BN, grid, masked)
            reconstruction = self._reconstruction_weight(task, reconstruction, batch) * reconstruction
        return torch.stack([task, one_hot, budget, reconstruction])

    def _token_mask(self, batch: Batch, seed: int, progress: float) -> tuple[Tensor, Tensor]:
        """Draw the token masks of a whole step; return those of this part (B, N), and its average share of the masked.

        All workers draw the same, so that a step does not depend on their number.
        """
        pmim, (height, width) = self.spec.pmim, self.net.backbone.tokens.grid
        share = pmim.end
        if self.spec.pmim_mode == "progressive":
            share = linear_then_constant(progress, pmim.start, pmim.end, self.spec.mask_warmup)
        generator = torch.Generator(batch.image.device).manual_seed(seed)
        mask = token_mask(batch.total, height * width, share, generator)
        return mask[batch.first : batch.first + len(batch.label)], mask.sum() * batch.share

    def _reconstruction_weight(self, task: Tensor, reconstruction: Tensor, batch: Batch) -> Tensor | float:
        if self.spec.pmim.weight is not None:
            return self.spec.pmim.weight
        both = self.run.team.all_reduce_sum_(torch.stack([task.detach(), reconstruction.detach()]) * batch.share)
        return balanced_weight(both[0], both[1])


def _one_hot(net: Supernet, p: Probabilities, spec: SearchSpec) -> Tensor:
    """Sum the axes' adaptive one-hot losses."""
    eps, first, second = spec.sigma_eps, spec.entropy, spec.variance
    losses = [
        adaptive_one_hot_loss(p_AIJ.flatten(1), eps=eps, use_entropy=first, use_variance=second) for p_AIJ in p.padded
    ]
    total = torch.cat(losses).sum()
    if spec.score_penalty:
        for attention, eta in ((True, spec.eta_attention), (False, spec.eta_other)):
            masks = [mask for mask in net.undecided.values() if (mask.axis.kind == "attention") == attention]
            scores: list[Tensor] = [mask.score_U for mask in masks]
            if scores:
                total = total + score_penalty(importance(torch.cat(scores)), eta)
    return total


def current_lambda(spec: SearchSpec, progress: float) -> float:
    """Return lambda of the bi-mask at `progress` in [0, 1] of the search."""
    return linear_then_constant(progress, spec.lambda_start, spec.lambda_end, spec.mask_warmup)


def aim(goal: Goal) -> float:
    """Return the middle of the window that the budget allows, in its resource."""
    return (goal.floor + goal.target) / 2
