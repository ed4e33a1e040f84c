"""The dense network of a sweep: trained once, shared by every trial through a folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save
from torch import nn

from ofb_ray.backbones import create, describe
from ofb_ray.data import Dataset
from ofb_ray.export import tensors
from ofb_ray.method.cost import cost, units_of
from ofb_ray.plan import resolve_model
from ofb_ray.records import Network, write_atomic, write_json
from ofb_ray.spec import TrialSpec
from ofb_ray.train import checkpoint
from ofb_ray.train.evaluate import evaluate
from ofb_ray.train.run import Run, pick_device
from ofb_ray.train.supervised import fit

_WEIGHTS, _FACTS, _STATE = "dense.safetensors", "dense.json", "state.pt"


@dataclass(frozen=True)
class Dense:
    """The dense network on the CPU, its size and accuracy, and how it came about."""

    net: nn.Module
    network: Network
    seconds: float
    history: list[dict[str, Any]]


def dense_network(
    spec: TrialSpec, data: Dataset, shared: Path, row_done: Callable[[dict[str, Any]], None], wait: Callable[[], None]
) -> Dense:
    """The dense network of `spec`: from `shared`, else trained there, resuming what a killed trial left.

    Args:
        row_done: called with every epoch's row of history, where this call trains.
        wait: called once where another trial is training it.
    Raises:
        TrialFailed: training diverged.
    """
    folder = shared / spec.dense_key
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        wait()
        lock.acquire()
    try:
        if not (folder / _FACTS).exists():
            _train(spec, data, folder, row_done)
    finally:
        lock.release()
    facts = json.loads((folder / _FACTS).read_text())
    net = _network(spec, pretrained=False)
    net.load_state_dict(load_file(folder / _WEIGHTS))
    return Dense(net, Network(**facts["network"]), facts["seconds"], facts["history"])


def _train(spec: TrialSpec, data: Dataset, folder: Path, row_done: Callable[[dict[str, Any]], None]) -> None:
    state = checkpoint.load(folder / _STATE) or {"phase": None, "history": [], "seconds": 0.0}
    history: list[dict[str, Any]] = state["history"]
    start = time.perf_counter() - state["seconds"]
    device = pick_device()

    def epoch_done(row: dict[str, Any], resume_state: Callable[[], checkpoint.State]) -> None:
        history.append(row)
        seconds = time.perf_counter() - start
        checkpoint.save(folder / _STATE, {"phase": resume_state(), "history": history, "seconds": seconds})
        row_done(row)

    net = _network(spec, pretrained=state["phase"] is None).to(device)
    run = Run("dense", spec.seed, device, epoch_done)
    fit(net, data, spec.dense, spec.data.augment, run, state["phase"])
    seconds = time.perf_counter() - start
    network = judge(net, spec, data)
    write_atomic(folder / _WEIGHTS, save(tensors(net)))
    write_json(folder / _FACTS, {"network": network.model_dump(), "seconds": seconds, "history": history})
    (folder / _STATE).unlink(missing_ok=True)


def judge(net: nn.Module, spec: TrialSpec, data: Dataset) -> Network:
    """Size and accuracy of a trained network: the held-out part of train that selects, and the test split."""
    backbone, device = describe(net, spec.search.space), pick_device()
    val, test = evaluate(net, data.val, device), evaluate(net, data.test, device)
    units = units_of(backbone.widths)
    return Network(
        macs=cost(backbone.macs, units),
        params=cost(backbone.params, units),
        top1_val=val.top1,
        top5_val=val.top5,
        top1_test=test.top1,
        top5_test=test.top5,
    )


def _network(spec: TrialSpec, pretrained: bool) -> nn.Module:
    """The network at its seed; the weights that the spec names are read only where they are needed."""
    torch.manual_seed(spec.seed)
    model = resolve_model(spec)
    return create(model if pretrained else model.model_copy(update={"pretrained": False, "weights": None}))
