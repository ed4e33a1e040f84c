"""Plain supervised training: the dense network, and the fused subnet with its head kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ofb_ray.data import Dataset
from ofb_ray.spec import PhaseSpec
from ofb_ray.train.checkpoint import State, optimizer_state, restore_optimizer
from ofb_ray.train.evaluate import evaluate
from ofb_ray.train.optim import make_optimizer, set_learning_rates
from ofb_ray.train.run import Run, autocast


def fit(
    net: nn.Module, data: Dataset, spec: PhaseSpec, augment: bool, run: Run, state: State | None = None
) -> nn.Module:
    """Train `net` for `spec.epochs` epochs and return it; the last epoch is taken, none is selected.

    Args:
        state: what `run.epoch_done` was given after an earlier epoch, to go on from there.
    Raises:
        TrialFailed: the loss is not finite.
    """
    optimizer, first = make_optimizer(net, spec), 0
    if state is not None:
        net.load_state_dict(state["net"])
        optimizer, first = restore_optimizer(state["optimizer"], net), state["epoch"]
    for epoch in range(first, spec.epochs):
        loss = _epoch(net, optimizer, data, spec, augment, run, epoch)
        row: dict[str, Any] = {"phase": run.phase, "epoch": epoch + 1, "loss": loss}
        row["top1_val"] = evaluate(net, data.val, run.device).top1

        def resume_state(done: int = epoch + 1, optimizer: torch.optim.Optimizer = optimizer) -> State:
            return {"epoch": done, "net": net.state_dict(), "optimizer": optimizer_state(optimizer, net)}

        run.epoch_done(row, resume_state)
    return net.eval()


def _epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Dataset,
    spec: PhaseSpec,
    augment: bool,
    run: Run,
    epoch: int,
) -> float:
    """One pass over the training split; the mean loss."""
    net.train()
    steps = data.train.steps(spec.batch_size)
    total = torch.zeros((), device=run.device)
    seed = run.seed_epoch(epoch)
    for step, (image, label) in enumerate(data.train.batches(spec.batch_size, run.device, seed, augment)):
        set_learning_rates(optimizer, (epoch * steps + step) / (spec.epochs * steps), spec.warmup)
        with autocast(run.device):
            loss = F.cross_entropy(net(image), label, label_smoothing=spec.label_smoothing)
        descend(loss, optimizer, spec)
        total += loss.detach()
    return run.check_finite(total / steps, epoch)


def descend(loss: Tensor, optimizer: torch.optim.Optimizer, spec: PhaseSpec) -> None:
    """One optimizer step, gradients clipped where the spec says so."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if spec.clip_grad is not None:
        nn.utils.clip_grad_norm_(
            [param for group in optimizer.param_groups for param in group["params"]], spec.clip_grad
        )
    optimizer.step()
