"""Let candidates of a running search die, decide what is open, and cut what they leave out of network and optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ofb_ray.backbones.base import rebuild
from ofb_ray.calibration.compensation import compensated_readers
from ofb_ray.config import SearchSpec
from ofb_ray.method.projection import Goal
from ofb_ray.search.losses import aim, current_lambda
from ofb_ray.search.pruning import Alive, eliminate, kept_units, mask_utility, project_onto_budget, prune
from ofb_ray.search.state import Problem, Search
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.run import Run, autocast

# The output gap of a cut is measured on a few held-out images: enough for a mean, cheap beside a step.
_PROBE = 8


def decide(current: Search, problem: Problem, progress: float, run: Run) -> None:
    """Decide every open axis: take the network that keeps the most of the bi-mask within the budget."""
    lam = current_lambda(problem.spec, progress)
    if current.prior is None:
        utility = mask_utility(current.net, problem.goal, lam, problem.spec.mask)
    else:
        utility = current.prior.utility(current.net)
    goal: Goal | None = problem.goal
    while goal is not None:
        alive = project_onto_budget(current.net, goal, utility)
        chosen = {name: sizes[0] for name, sizes in current.net.candidates(alive).items()}
        goal = problem.corrected(goal, current.net.candidates(), chosen)
    facts = {"epoch": min(current.epoch + 1, problem.spec.epochs), "projected": True}
    # Embeddings first where cuts are compensated: what cut units said is predicted from what flows then.
    streams = {axis.name for axis in current.net.backbone.axes if axis.kind == "embedding"} if problem.images else set()
    first = {name: alive_IJ for name, alive_IJ in alive.items() if name in streams}
    for part in (first, {name: alive_IJ for name, alive_IJ in alive.items() if name not in first}):
        if part:
            _cut(current, part, problem, lam, run, facts)


def eliminate_and_cut(current: Search, problem: Problem, progress: float, run: Run) -> None:
    """Let candidates die, cut what they leave, and steer the budget's weight by what is left.

    The later part of the search belongs to the weights of the decided network (released code: fuse at 50 of 100).
    """
    if progress >= problem.spec.decided_at:
        decide(current, problem, progress, run)
        return
    run.team.all_reduce_mean_(mask.alpha_IJ for mask in current.net.undecided.values())
    alive = eliminate(current.net, problem.goal, problem.spec.threshold)
    if alive:
        _cut(current, alive, problem, current_lambda(problem.spec, progress), run, {"epoch": current.epoch + 1})
    if problem.spec.adapt_budget_weight and current.net.undecided:
        expected = float(current.net.expected_cost(problem.goal.terms, current.net.probabilities()).detach())
        current.weight.steer(expected / aim(problem.goal) - 1)


def _cut(current: Search, alive: Alive, problem: Problem, lam: float, run: Run, facts: dict[str, Any]) -> None:
    """Replace network and optimizer by smaller ones, and add an event with the relative change of the logits."""
    image, _ = next(problem.data.val.test_batches(_PROBE, run.device))
    before = _logits(current.net, image, lam, problem.spec)
    replaced = _compensated(current.net, alive, problem, lam, run)
    pruned = prune(current.net, current.optimizer, alive, lam, problem.spec.mask, replaced)
    current.net, current.optimizer = pruned.net, pruned.optimizer
    current.trace.cut(pruned.keeps)
    gap = float((_logits(current.net, image, lam, problem.spec) - before).norm() / before.norm().clamp_min(1e-12))
    current.events += [{**facts, **event, "output_gap": round(gap, 6)} for event in pruned.events]


def _compensated(net: Supernet, alive: Alive, problem: Problem, lam: float, run: Run) -> dict[str, Tensor]:
    """Make good what cut units say in the masked network as it is now; all workers get the bits of rank 0."""
    if not problem.images:
        return {}
    found: dict[str, Tensor] = {}
    if run.team.is_main:
        with torch.no_grad():
            gated = net.gated_parameters(net.unit_masks(net.probabilities(), lam, problem.spec.mask))
            masked = rebuild(net.net, gated).eval()
            keeps, params = kept_units(net, alive), dict(net.net.named_parameters())
            found = compensated_readers(masked, net.backbone, keeps, problem.images, params)
    return run.team.broadcast(found)


def _logits(net: Supernet, image: Tensor, lam: float, spec: SearchSpec) -> Tensor:
    """Compute the logits (B, classes) of the masked network in eval mode."""
    was_training = net.training
    net.eval()
    with torch.no_grad(), autocast(image.device):
        logits: Tensor = net(image, net.unit_masks(net.probabilities(), lam, spec.mask)).logits
    net.train(was_training)
    return logits.float()
