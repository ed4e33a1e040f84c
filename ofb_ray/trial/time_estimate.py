"""Estimate how long a trial trains: by a few steps on this machine, or by arithmetic for GPUs that it lacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from ofb_ray.backbones import create, weights
from ofb_ray.config import TrialSpec
from ofb_ray.data import Batch
from ofb_ray.search.losses import SearchLosses
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.optim import make_optimizer
from ofb_ray.train.run import Run, autocast, pick_device
from ofb_ray.train.supervised import optimizer_step
from ofb_ray.trial.plan import Plan

_FLOPS_PER_MAC = 6  # a forward pass multiplies and adds; a backward pass does both twice


@dataclass(frozen=True)
class Estimate:
    """Training time, on as many devices as a trial has workers.

    Args:
        dense: seconds for the dense network.
        trial: seconds for search and fine-tuning.
        how: where the figures come from, for the user.
        search_epoch: seconds of one epoch of the search, part of `trial`.
    """

    dense: float
    trial: float
    how: str
    search_epoch: float = 0.0

    def of(self, spec: TrialSpec, other: TrialSpec) -> Estimate:
        """Estimate `other`, which differs from the `spec` of this one in the epochs of its search."""
        more = other.epochs("search") - spec.epochs("search")
        return replace(self, trial=self.trial + more * self.search_epoch)


def estimate_from_tflops(spec: TrialSpec, planned: Plan, tflops: float, workers: int) -> Estimate:
    """Estimate the time by arithmetic, for GPUs that this machine lacks: 6 FLOPs per MAC and image.

    The search is counted at the dense cost until `decide_by` and at the target afterwards; data loading and
    evaluation are not counted.

    Args:
        tflops: sustained rate of one GPU, in 10^12 FLOPs per second.
        workers: GPUs of a trial.
    """
    share = planned.target / planned.dense_cost
    search = spec.epochs("search") * (spec.search.decided_at + (1 - spec.search.decided_at) * share)
    images = planned.train_images * (1 - spec.data.val_share)
    epoch = images * planned.dense_macs * _FLOPS_PER_MAC / (tflops * 1e12 * workers)
    return Estimate(
        epoch * spec.dense.epochs,
        epoch * (search + spec.finetune.epochs * share),
        f"by arithmetic at {tflops:g} TFLOP/s sustained per GPU (assumed, not measured: resources.gpu_tflops)",
    )


def estimate_on_device(spec: TrialSpec, planned: Plan, threads: int) -> Estimate:
    """Estimate the time by a few real steps on this machine.

    Fine-tuning is counted at the dense step's cost: an upper bound, for the subnet is smaller. Data loading, evaluation
    and the shrinking of the search are not counted.

    Args:
        threads: that torch has in a trial. More of them than cores are free wait for each other.
    """
    device = pick_device()
    net = create(weights.bare(planned.model)).to(device).train()
    supernet = Supernet(net, planned.backbone).to(device)
    run = Run("search", spec.seed, device, lambda row, state: None)
    classes, channels = int(planned.model.args["num_classes"]), int(planned.model.args["in_chans"])
    losses = SearchLosses(supernet, spec.search, planned.goal, planned.dense_cost, classes, run)
    plain, searching = make_optimizer(net, spec.dense), make_search_optimizer(supernet, spec.search, 100)
    shape = (channels, spec.data.image_size, spec.data.image_size)

    def dense_step(image: torch.Tensor, label: torch.Tensor) -> None:
        with autocast(device):
            loss = F.cross_entropy(net(image), label)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer_step(plain, spec.dense)

    def search_step(image: torch.Tensor, label: torch.Tensor) -> None:
        losses(Batch(image, label, 0, len(label), True), 0, 0.5, 1.0).sum().backward()
        optimizer_step(searching, spec.search)

    images = planned.train_images * (1 - spec.data.val_share)
    sizes = [phase.micro_batch or phase.batch_size for phase in (spec.dense, spec.search)]
    with _threads(threads):
        dense = _seconds_per_image(dense_step, shape, classes, sizes[0], device)
        search = _seconds_per_image(search_step, shape, classes, sizes[1], device)
    rest = search * spec.epochs("search") + dense * spec.finetune.epochs
    return Estimate(images * dense * spec.dense.epochs, images * rest, "measured on this machine", images * search)


def _seconds_per_image(
    step: Callable[[torch.Tensor, torch.Tensor], None],
    shape: tuple[int, ...],
    classes: int,
    batch_size: int,
    device: torch.device,
) -> float:
    """Time a step, in seconds per image, at a batch that takes about a quarter of a second at most: the faster of two.

    Args:
        step: takes images (B, *shape) and labels (B,) of 0 to classes - 1.
        batch_size: largest B.
    """

    def seconds(batch: int) -> float:
        image, label = torch.randn(batch, *shape, device=device), torch.randint(classes, (batch,), device=device)
        start = time.perf_counter()
        step(image, label)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    batch = min(4, batch_size)
    seconds(batch)  # what is done once: memory, kernels
    for _ in range(3):
        batch = max(batch, min(batch_size, int(batch * 0.25 / max(seconds(batch), 1e-4))))
    return min(seconds(batch), seconds(batch)) / batch


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
