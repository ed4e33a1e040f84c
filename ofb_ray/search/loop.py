"""Run the OFB search: learn importance and sparsity together, and cut dying candidates out of the running network."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from ofb_ray.config import SearchSpec
from ofb_ray.data import steps
from ofb_ray.method.cost import cost, units_of
from ofb_ray.search.budget_weight import BudgetWeight
from ofb_ray.search.calibrate import Calibration, Prior, begin
from ofb_ray.search.checkpoint import restore_supernet
from ofb_ray.search.deciding import decide, eliminate_and_cut
from ofb_ray.search.losses import SearchLosses, aim, current_lambda
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.scores import init_scores
from ofb_ray.search.state import Problem, Search
from ofb_ray.search.supernet import Supernet
from ofb_ray.search.trace import Trace
from ofb_ray.train.checkpoint import State, restore_optimizer
from ofb_ray.train.evaluate import evaluate
from ofb_ray.train.optim import set_learning_rates
from ofb_ray.train.run import Run
from ofb_ray.train.supervised import optimizer_step


def start(net: Supernet, problem: Problem, run: Run, calibration: Calibration | None = None) -> Search:
    """Begin a search: initialise the scores and make the optimizer.

    Args:
        calibration: with sensitivities, from which alpha starts; sizes that are out of the question die at once.
    """
    spec, prior = problem.spec, None
    if calibration is not None and calibration.deltas:
        prior = begin(net, calibration, problem.goal, aim(problem.goal), spec.doubt)
    elif spec.score_init == "taylor":
        init_scores(net, problem.data.train, run)
    count = spec.epochs * steps(len(problem.data.train), spec.batch_size, run.team.world)
    trace = Trace(net.backbone.axes, spec.epochs)
    begun = Search(net, make_search_optimizer(net, spec, count), _budget_weight(spec), trace, prior)
    _take_snapshot(begun, problem)
    if prior is not None and net.undecided and spec.epochs:
        eliminate_and_cut(begun, problem, 0.0, run)
    return begun


def resume(net: Supernet, problem: Problem, run: Run, state: State) -> Search:
    """Go on with the search that `Search.state` was taken of.

    Args:
        net: a new supernet around the dense network.
    """
    restored = restore_supernet(net.net, net.backbone, state["net"]).to(run.device)
    weight = _budget_weight(problem.spec)
    weight.value = state["budget_weight"]
    optimizer = restore_optimizer(state["optimizer"], restored)
    trace = Trace(net.backbone.axes, problem.spec.epochs, state["trace"])
    prior = None if state["prior"] is None else Prior(state["prior"])
    return Search(restored, optimizer, weight, trace, prior, state["epoch"], state["events"])


def search(current: Search, problem: Problem, run: Run) -> Search:
    """Run the remaining epochs, then decide what is still open: the returned network meets the goal.

    Raises:
        TrialFailed: the loss is not finite.
    """
    while current.epoch < problem.spec.epochs:
        row = _epoch(current, problem, run)
        current.epoch += 1
        _take_snapshot(current, problem)
        run.epoch_done(row, current.state)
    if current.net.undecided:
        # Without an epoch the masks leave the network whole: it is cut as it is.
        decide(current, problem, 1.0 if problem.spec.epochs else 0.0, run)
        _take_snapshot(current, problem)
    return current


def _take_snapshot(current: Search, problem: Problem) -> None:
    """Add a snapshot to the trace, if one is due."""
    lam = current_lambda(problem.spec, current.epoch / max(1, problem.spec.epochs))
    current.trace.take(current.net, current.epoch, lam)


def _epoch(current: Search, problem: Problem, run: Run) -> dict[str, Any]:
    """Train for one pass over the training split, eliminating candidates on the way; return its row of history."""
    data, spec = problem.data, problem.spec
    count, step = steps(len(data.train), spec.batch_size, run.team.world), 0
    points = elimination_steps(count, spec.eliminations_per_epoch)
    total, progress = torch.zeros(4, device=run.device), 0.0
    seed = run.seed_epoch(current.epoch)
    model = _wrapped(current, problem, run)
    for batch in data.train.train_batches(run.epoch_pass(spec, seed), run.device):
        progress = (current.epoch * count + step) / (spec.epochs * count)
        set_learning_rates(current.optimizer, progress, spec.warmup)
        with run.team.accumulate(model, batch.last):
            losses = model(batch, seed + step, progress, current.weight.value) * batch.share
            (losses.sum() * run.team.world).backward()
        total += losses.detach()
        if not batch.last:
            continue
        optimizer_step(current.optimizer, spec)
        if step in points and current.net.undecided:
            run.check_finite(run.team.all_reduce_sum_(total.sum()), current.epoch)
            before = current.net
            eliminate_and_cut(current, problem, progress, run)
            if current.net is not before:
                model = _wrapped(current, problem, run)
        step += 1
    total = run.team.all_reduce_sum_(total)
    run.check_finite(total.sum(), current.epoch)
    run.team.check_equal(current.net)
    task, one_hot, budget, reconstruction = (total / count).tolist()
    row = {"phase": "search", "epoch": current.epoch + 1, "loss": task, "one_hot_loss": one_hot, "budget_loss": budget}
    row |= {"reconstruction_loss": reconstruction, "budget_weight": current.weight.value}
    return row | _standing(current, problem, progress, run)


def _wrapped(current: Search, problem: Problem, run: Run) -> nn.Module:
    """Wrap the step's losses as a module of the whole team; to be called again after every cut."""
    current.net.train()
    if problem.spec.compile and not current.net.undecided:
        current.net.run = torch.compile(functional_call)
    losses = SearchLosses(
        current.net, problem.spec, problem.goal, problem.dense_cost, problem.data.classes, run, problem.teacher
    )
    # What a step uses changes with the phase of the search: scores, alpha, the decoder.
    return run.team.wrap(losses, partly_used=True)


def elimination_steps(steps: int, points: int) -> frozenset[int]:
    """Choose the steps of an epoch after which candidates may die: evenly spread, the last step among them.

    Args:
        steps: of the epoch.
        points: how many to choose, at most `steps`.
    """
    return frozenset(-(-steps * point // points) - 1 for point in range(1, points + 1))


def _standing(current: Search, problem: Problem, progress: float, run: Run) -> dict[str, Any]:
    """Measure where the search is: accuracy of the masked network, expected cost, axes still open."""
    net, lam = current.net, current_lambda(problem.spec, progress)
    with torch.no_grad():
        p = net.probabilities()
        masks = net.unit_masks(p, lam, problem.spec.mask)
        expected = float(net.expected_cost(net.backbone.macs, p))
        goal_cost = float(net.expected_cost(problem.goal.terms, p))
    top1 = evaluate(net, problem.data.val, run.device, lambda image: net(image, masks).logits).top1
    return {
        "top1_val": top1,
        "expected_macs": round(expected),
        "budget_used": round(goal_cost / problem.goal.target, 6),
        "undecided": len(net.undecided),
        "current_macs": cost(net.backbone.macs, units_of(net.backbone.widths)),
    }


def _budget_weight(spec: SearchSpec) -> BudgetWeight:
    return BudgetWeight(spec.budget_weight, spec.budget_weight, spec.epochs * spec.eliminations_per_epoch)
