"""The dense network of a sweep: trained once, shared by every trial through a folder."""

from __future__ import annotations

import copy
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

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.weights import bare, network, preprocessing
from ofb_ray.config import DataSpec, DistillSpec, ModelSpec, TrialSpec
from ofb_ray.data import Dataset
from ofb_ray.errors import InputError
from ofb_ray.export import tensors
from ofb_ray.method.cost import cost, units_of
from ofb_ray.results.atomic import write_atomic, write_json
from ofb_ray.results.files import DENSE_FILE, DENSE_WEIGHTS_FILE, STATE_FILE, WORK_LOCK
from ofb_ray.results.records import Network
from ofb_ray.train import checkpoint
from ofb_ray.train.evaluate import evaluate
from ofb_ray.train.run import Run, pick_device
from ofb_ray.train.supervised import fit
from ofb_ray.train.targets import Teacher
from ofb_ray.train.team import Team, current_team
from ofb_ray.trial.plan import resolve_data, resolve_model

_LOCK_SECONDS = 30.0


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
    folder, team = shared / spec.dense_key, current_team()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / WORK_LOCK)
    try:
        _acquire(lock, team, wait)
        if not team.broadcast((folder / DENSE_FILE).exists()):
            _train(spec, data, folder, row_done, team)
    finally:
        lock.release()
    facts = team.broadcast(json.loads((folder / DENSE_FILE).read_text()) if team.is_main else {})
    state = team.broadcast(load_file(folder / DENSE_WEIGHTS_FILE) if team.is_main else {})
    net = _network(spec, pretrained=False)
    net.load_state_dict(state)
    return Dense(net, Network(**facts["network"]), facts["seconds"], facts["history"])


def _acquire(lock: FileLock, team: Team, wait: Callable[[], None]) -> None:
    """Rank 0 takes the lock; the others hear from it now and then, so that no collective waits too long."""
    timeout, told = 0.0, False
    while True:
        held = False
        if team.is_main:
            try:
                lock.acquire(timeout=timeout)
                held = True
            except Timeout:
                pass
        if team.broadcast(held):
            return
        if not told:
            wait()
        timeout, told = _LOCK_SECONDS, True


def _train(
    spec: TrialSpec, data: Dataset, folder: Path, row_done: Callable[[dict[str, Any]], None], team: Team
) -> None:
    state = team.broadcast(checkpoint.load(folder / STATE_FILE) if team.is_main else None)
    state = state or {"phase": None, "history": [], "seconds": 0.0}
    history: list[dict[str, Any]] = state["history"]
    start = time.perf_counter() - state["seconds"]
    device = pick_device()

    def epoch_done(row: dict[str, Any], resume_state: Callable[[], checkpoint.State]) -> None:
        history.append(row)
        seconds = time.perf_counter() - start
        if team.is_main:
            checkpoint.save(folder / STATE_FILE, {"phase": resume_state(), "history": history, "seconds": seconds})
        row_done(row)

    net = _network(spec, pretrained=state["phase"] is None).to(device)
    run = Run("dense", spec.seed, device, epoch_done, team)
    teacher = make_teacher(spec.dense.distill, None, spec, device) if spec.dense.epochs else None
    net = fit(net, data, spec.dense, run, state["phase"], teacher)
    seconds = time.perf_counter() - start
    facts = evaluate_splits(net, spec, data)
    if team.is_main:
        write_atomic(folder / DENSE_WEIGHTS_FILE, save(tensors(net)))
        write_json(folder / DENSE_FILE, {"network": facts.model_dump(), "seconds": seconds, "history": history})
        (folder / STATE_FILE).unlink(missing_ok=True)


def evaluate_splits(net: nn.Module, spec: TrialSpec, data: Dataset) -> Network:
    """Size and accuracy of a trained network: the held-out part of train that selects, and the test split."""
    backbone, device = describe_backbone(net, spec.search.space), pick_device()
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


def make_teacher(
    distill: DistillSpec | None, dense: nn.Module | None, spec: TrialSpec, device: torch.device
) -> Teacher | None:
    """The teacher of a phase, or None: a copy of the trial's dense network, or a timm model at the same image size.

    Raises:
        InputError: timm cannot build it, or its weights do not fit.
    """
    if distill is None:
        return None
    resolved = resolve_data(spec)
    if distill.teacher == "dense":
        assert dense is not None
        return Teacher(distill, copy.deepcopy(dense).to(device), ((0.0,), (1.0,)), ((0.0,), (1.0,)))
    args = {key: value for key, value in resolve_model(spec).args.items() if key in ("num_classes", "in_chans")}
    model = ModelSpec(
        name=distill.teacher, pretrained=distill.pretrained, weights=distill.weights, args={**args, **distill.args}
    )
    net = _teaching_network(model, spec.data.image_size)
    own = preprocessing(model, DataSpec())
    seen = resolved.mean or own.mean, resolved.std or own.std
    if own.mean is None or own.std is None or seen[0] is None or seen[1] is None:
        return Teacher(distill, net.to(device), ((0.0,), (1.0,)), ((0.0,), (1.0,)))
    return Teacher(distill, net.to(device), (seen[0], seen[1]), (own.mean, own.std))


def _teaching_network(model: ModelSpec, side: int) -> nn.Module:
    try:
        net = network(model.model_copy(update={"args": {"img_size": side, **model.args}}))
    except InputError as error:
        if error.key != "model.args":
            raise
        net = network(model)  # convolutional teachers take no img_size
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, model.args["in_chans"], side, side))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{model.name!r} cannot take images of {side} px ({reason}); see its constructor's arguments",
            key="distill.args",
        ) from None
    return net


def _network(spec: TrialSpec, pretrained: bool) -> nn.Module:
    """The network at its seed; the weights that the spec names are read only where they are needed."""
    torch.manual_seed(spec.seed)
    model = resolve_model(spec)
    return network(model if pretrained else bare(model))
