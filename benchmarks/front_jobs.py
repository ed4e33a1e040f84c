"""What `benchmarks.pretrained_front` measures, one job a network: the dense one, OFB's trials, its rivals."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.baselines import magnitude_network, taylor_network
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.config import TrialSpec
from ofb_ray.data import Dataset, EpochPlan, load
from ofb_ray.results.records import Network
from ofb_ray.train.evaluate import evaluate
from ofb_ray.train.run import Run, pick_device
from ofb_ray.train.supervised import fit
from ofb_ray.trial.dense import Dense, dense_network
from ofb_ray.trial.plan import Plan, plan
from ofb_ray.trial.run import run_trial

METHODS = ("preview", "new", "old", "taylor", "magnitude")
RIVALS = ("taylor", "magnitude")
# A preview, and it without one of its parts each.
PREVIEWS: dict[str, dict[str, Any]] = {
    "preview": {},
    "basis=plain": {"basis": "plain"},
    "start=random": {"start": "random"},
    "compensate=false": {"compensate": False},
}
MODEL = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
BATCH = 64
# Images that rivals calibrate on, as many as OFB's own default.
CALIBRATION = 512

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One network to make and measure.

    Args:
        rate: the learning rate after the dense network; None: nothing is trained after it.
    """

    method: str
    spec: TrialSpec
    rate: float | None = None

    @property
    def key(self) -> str:
        """Name what decides the job's numbers."""
        return f"{self.method} {self.spec.dense_key if self.method == 'dense' else self.spec.key}"


@dataclass(frozen=True)
class Setting:
    """What all jobs have in common.

    Args:
        model: section of a spec.
        data: section of a spec.
        dense: section of a spec.
        epochs: of the training after the dense network, in all.
    """

    model: dict[str, Any]
    data: dict[str, Any]
    dense: dict[str, Any]
    epochs: int

    def job(self, method: str, budget: float, seed: int, rate: float | None = None) -> Job:
        """Make the job of one method: trained at `rate`, or not at all."""
        search, finetune = _untrained(method) if rate is None else _trained(method, rate, self.epochs)
        plain = {"model": self.model, "data": self.data, "dense": self.dense, "budget": budget, "seed": seed}
        phases = {"search": search | {"batch_size": BATCH}, "finetune": finetune | {"batch_size": BATCH}}
        return Job(method, TrialSpec.model_validate(plain | phases), rate)


def setting(
    weights: Path, data: Path, image_size: int, train: int, test: int, dense_epochs: int, epochs: int
) -> Setting:
    """Fine-tune a pretrained ViT-Tiny on the first images of a folder, a fifth of the training images held out."""
    return Setting(
        {"name": MODEL, "pretrained": False, "weights": str(weights.absolute())},
        {
            "name": "folder",
            "root": str(data.absolute()),
            "image_size": image_size,
            "train_limit": train,
            "test_limit": test,
            "val_share": 0.2,
            "augment": True,
        },
        {"epochs": dense_epochs, "batch_size": BATCH, "lr": 3e-4},
        epochs,
    )


def untrained_methods(methods: Sequence[str]) -> list[str]:
    """What is measured without training where `methods` are asked for."""
    return [*(PREVIEWS if "preview" in methods else ()), *(method for method in RIVALS if method in methods)]


def _untrained(method: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sections of search and fine-tuning."""
    return {"recipe": "calibrated", "epochs": 0} | PREVIEWS.get(method, {}), {"epochs": 0}


def _trained(method: str, rate: float, epochs: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sections of search and fine-tuning: one long schedule where there is a search, else the rate warms up."""
    if method in ("new", "old"):
        recipe, searching = {"new": "calibrated", "old": "paper"}[method], epochs // 2
        search = {"recipe": recipe, "epochs": searching, "lr": rate, "min_lr": rate}
        return search, {"epochs": epochs - searching, "lr": rate, "warmup": 0.0}
    return {"recipe": "calibrated", "epochs": 0}, {"epochs": epochs, "lr": rate, "warmup": 0.1}


def run_job(job: Job, folder: Path) -> Row:
    """Return held-out and test top-1 of the job's network, its share of the dense MACs, and the processor's seconds.

    Args:
        folder: dense networks, decoded images and unfinished trials are kept here.
    """
    start, spec = time.process_time(), job.spec
    if job.method == "dense":
        facts = _facts(_dense(spec, folder)[0].network, 1.0)
    elif job.method in RIVALS:
        facts = _rival(job, folder)
    else:
        record = run_trial(spec, lambda progress: None, folder / "trials" / spec.key, shared=folder / "shared")
        assert record.subnet is not None, record.reason
        assert record.dense is not None
        facts = _facts(record.subnet, record.subnet.macs / record.dense.macs)
    budget = 1.0 if job.method == "dense" else spec.budget.macs_ratio
    names = {"key": job.key, "method": job.method, "budget": budget, "seed": spec.seed, "rate": job.rate}
    return names | facts | {"seconds": time.process_time() - start}


def _facts(network: Network, share: float) -> Row:
    return {"val": network.top1_val, "test": network.top1_test, "macs": share}


def _dense(spec: TrialSpec, folder: Path) -> tuple[Dense, Dataset, Plan]:
    planned, shared = plan(spec), folder / "shared"
    data = load(planned.data, shared / "data")
    return dense_network(spec, planned, data, shared, lambda row: None, lambda text, done: None), data, planned


def _rival(job: Job, folder: Path) -> Row:
    """Prune by Torch-Pruning, then fine-tune."""
    dense, data, planned = _dense(job.spec, folder)
    image, device = (data.channels, job.spec.data.image_size, job.spec.data.image_size), pick_device()
    net = _pruned(job.method, dense.net, planned.target, data, image)
    net = fit(net.to(device), data, job.spec.finetune, Run("finetune", job.spec.seed, device, lambda row, state: None))
    return {
        "val": evaluate(net, data.val, device).top1,
        "test": evaluate(net, data.test, device).top1,
        "macs": operator_macs(net, image) / dense.network.macs,
    }


def _pruned(method: str, dense: nn.Module, target: int, data: Dataset, image: tuple[int, int, int]) -> nn.Module:
    if method == "magnitude":
        return magnitude_network(dense, target, image)
    batch = min(BATCH, len(data.train))
    batches = data.train.train_batches(EpochPlan(batch, 0, augment=False), torch.device("cpu"))
    some = [(part.image, part.label) for part in itertools.islice(batches, CALIBRATION // batch)]
    return taylor_network(dense, target, some, image)
