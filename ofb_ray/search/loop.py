"""Run the OFB search: learn importance and sparsity together, and cut dying candidates out of the running network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ofb_ray.backbones.base import rebuild
from ofb_ray.calibration.compensation import compensated_readers
from ofb_ray.config import SearchSpec
from ofb_ray.data import Dataset, steps
from ofb_ray.method.axis import Widths
from ofb_ray.method.chain import Candidates
from ofb_ray.method.cost import cost, units_of
from ofb_ray.method.projection import Goal
from ofb_ray.search.budget_weight import BudgetWeight
from ofb_ray.search.calibrate import Calibration, Prior, begin
from ofb_ray.search.checkpoint import restore_supernet, supernet_state
from ofb_ray.search.losses import SearchLosses, aim, current_lambda
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.pruning import Alive, eliminate, kept_units, mask_utility, project_onto_budget, prune
from ofb_ray.search.scores import init_scores
from ofb_ray.search.supernet import Supernet
from ofb_ray.search.trace import Trace
from ofb_ray.train.checkpoint import State, optimizer_state, restore_optimizer
from ofb_ray.train.evaluate import evaluate
from ofb_ray.train.optim import set_learning_rates
from ofb_ray.train.run import Run, autocast
from ofb_ray.train.supervised import optimizer_step
from ofb_ray.train.targets import Teacher

# The output gap of a cut is measured on a few held-out images: enough for a mean, cheap beside a step.
_PROBE = 8


@dataclass
class Search:
    """A search in progress: everything that a checkpoint holds.

    Args:
        prior: what sizes were known to cost at the start, if anything.
        epoch: epochs done.
        events: a row for each axis of each cut.
    """

    net: Supernet
    optimizer: torch.optim.Optimizer
    weight: BudgetWeight
    trace: Trace
    prior: Prior | None = None
    epoch: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    def state(self) -> State:
        """Return plain containers from which `resume` goes on."""
        return {
            "epoch": self.epoch,
            "net": supernet_state(self.net),
            "optimizer": optimizer_state(self.optimizer, self.net),
            "budget_weight": self.weight.value,
            "events": list(self.events),
            "trace": self.trace.state(),
            "prior": None if self.prior is None else self.prior.offset,
        }


@dataclass(frozen=True)
class Problem:
    """What does not change during a search.

    Args:
        goal: the budget on the candidate grid.
        dense_cost: of the dense network, in the goal's resource.
        teacher: network to distil from, if any.
        images: calibration images in batches, on the device, with which cuts are compensated; none: they are not.
        corrected: asked before the last cut, of the goal, the living candidates and the network that was chosen: a
            lower goal on these candidates where that costs more than its terms say, else None.
    """

    data: Dataset
    spec: SearchSpec
    goal: Goal
    dense_cost: int
    teacher: Teacher | None = None
    images: Sequence[Tensor] = ()
    corrected: Callable[[Goal, Candidates, Widths], Goal | None] = lambda goal, candidates, widths: None


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
        _eliminate(begun, problem, 0.0, run)
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
        _decide(current, problem, 1.0 if problem.spec.epochs else 0.0, run)
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
            _eliminate(current, problem, progress, run)
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


def _decide(current: Search, problem: Problem, progress: float, run: Run) -> None:
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


def _eliminate(current: Search, problem: Problem, progress: float, run: Run) -> None:
    """Let candidates die, cut what they leave, and steer the budget's weight by what is left.

    The later part of the search belongs to the weights of the decided network (released code: fuse at 50 of 100).
    """
    if progress >= problem.spec.decided_at:
        _decide(current, problem, progress, run)
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
