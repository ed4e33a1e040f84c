"""Train a plain network with labels: the dense network, and the fused subnet."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ofb_ray.config import FitSpec, PhaseSpec
from ofb_ray.data import Dataset, steps
from ofb_ray.train.checkpoint import State, optimizer_state, restore_optimizer
from ofb_ray.train.evaluate import evaluate
from ofb_ray.train.optim import make_optimizer, set_learning_rates
from ofb_ray.train.run import Run, autocast
from ofb_ray.train.targets import Teacher, apply_mixup, task_loss


def fit(
    net: nn.Module, data: Dataset, spec: FitSpec, run: Run, state: State | None = None, teacher: Teacher | None = None
) -> nn.Module:
    """Train `net` for `spec.epochs` epochs; the last epoch is taken, none is selected.

    Args:
        state: what the function given to `run.epoch_done` returned after an earlier epoch, to go on from there.
        teacher: network to distil from; None trains with labels alone.
    Returns:
        The network in eval mode; with `spec.ema` the averaged one.
    Raises:
        TrialFailed: the loss is not finite.
    """
    optimizer, first = make_optimizer(net, spec), 0
    average = _average(net, spec)
    if state is not None:
        net.load_state_dict(state["net"])
        optimizer, first = restore_optimizer(state["optimizer"], net), state["epoch"]
        if average is not None:
            average.load_state_dict(state["average"])
    model = run.team.wrap(compiled(net) if spec.compile else net)
    result: nn.Module = net if average is None else average.module
    for epoch in range(first, spec.epochs):
        loss = _epoch(model, optimizer, average, data, spec, run, epoch, teacher)
        run.team.check_equal(net)
        row: dict[str, Any] = {"phase": run.phase, "epoch": epoch + 1, "loss": loss}
        row["top1_val"] = evaluate(result, data.val, run.device).top1

        def resume_state(done: int = epoch + 1) -> State:
            averaged = None if average is None else average.state_dict()
            moments = optimizer_state(optimizer, net)
            return {"epoch": done, "net": net.state_dict(), "optimizer": moments, "average": averaged}

        run.epoch_done(row, resume_state)
    return result.eval()


def compiled(net: nn.Module) -> nn.Module:
    """Compile `net`; the parameters stay the same objects."""
    module: nn.Module = torch.compile(net)  # type: ignore[assignment]
    return module


def _average(net: nn.Module, spec: FitSpec) -> AveragedModel | None:
    if spec.ema is None or not spec.epochs:
        return None
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(spec.ema))  # type: ignore[no-untyped-call]
    average.requires_grad_(False)
    return average


def _epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel | None,
    data: Dataset,
    spec: FitSpec,
    run: Run,
    epoch: int,
    teacher: Teacher | None,
) -> float:
    """Train for one pass over the training split and return the mean loss."""
    model.train()
    count, step = steps(len(data.train), spec.batch_size, run.team.world), 0
    total = torch.zeros((), device=run.device)
    for batch in data.train.train_batches(run.epoch_pass(spec, run.seed_epoch(epoch)), run.device):
        set_learning_rates(optimizer, (epoch * count + step) / (spec.epochs * count), spec.warmup)
        image, label = apply_mixup(batch.image, batch.label, data.classes, spec)
        teaching = None if teacher is None else (teacher.spec, teacher.logits(image))
        with run.team.accumulate(model, batch.last):
            with autocast(run.device):
                logits = model(image)
            loss = task_loss(logits.float(), label, spec.label_smoothing, teaching) * batch.share
            (loss * run.team.world).backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
        if batch.last:
            step += 1
            optimizer_step(optimizer, spec)
            if average is not None:
                average.update_parameters(model)
    return run.check_finite(run.team.all_reduce_sum_(total) / count, epoch)


def optimizer_step(optimizer: torch.optim.Optimizer, spec: PhaseSpec) -> None:
    """Clip the gradients where the spec says so, take one optimizer step, and drop them."""
    if spec.clip_grad is not None:
        nn.utils.clip_grad_norm_(
            [param for group in optimizer.param_groups for param in group["params"]], spec.clip_grad
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
