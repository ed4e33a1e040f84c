"""Train the dense network of a sweep once, and share it between trials through a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from filelock import FileLock, Timeout
from pydantic import Field
from safetensors.torch import load_file, save
from torch import nn

from ofb_ray.backbones.weights import bare, network
from ofb_ray.config import ModelSpec, TrialSpec
from ofb_ray.data import Dataset
from ofb_ray.export import tensors
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.files import DENSE_FILE, DENSE_WEIGHTS_FILE, STATE_FILE, WORK_LOCK, JsonFile
from ofb_ray.results.records import Network
from ofb_ray.train import checkpoint
from ofb_ray.train.evaluate import evaluate_splits
from ofb_ray.train.run import Run, Stopwatch, pick_device
from ofb_ray.train.supervised import fit
from ofb_ray.train.team import Team, current_team
from ofb_ray.trial import phases
from ofb_ray.trial.phases import DenseTraining, Row
from ofb_ray.trial.plan import Plan
from ofb_ray.trial.teacher import make_teacher

_LOCK_SECONDS = 30.0


class DenseFile(JsonFile):
    """`dense.json`, beside the weights that it completes: size, accuracy and training of a dense network."""

    NAME: ClassVar[str] = DENSE_FILE
    network: Network = Field(description="size and accuracy")
    seconds: float = Field(description="wall time of its training, in seconds")
    history: list[Row] = Field(description="one row for each epoch")


@dataclass(frozen=True)
class Dense:
    """The dense network on the CPU, and how it was trained.

    Args:
        network: its size and accuracy.
        seconds: of its training, as long as that took wherever it ran.
        history: a row for each epoch.
    """

    net: nn.Module
    network: Network
    seconds: float
    history: list[Row]


def dense_network(
    spec: TrialSpec,
    planned: Plan,
    data: Dataset,
    shared: Path,
    row_done: Callable[[Row], None],
    tell: Callable[[str, int], None],
) -> Dense:
    """Load the dense network of `spec` from `shared`, else train it there, resuming what a killed trial left.

    Args:
        row_done: called with every epoch's row of history, where this call trains.
        tell: called with what takes long beside them, and the epochs that are done.
    Raises:
        TrialFailed: training diverged.
    """
    folder, team = shared / spec.dense_key, current_team()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / WORK_LOCK)
    try:
        _acquire(lock, team, tell)
        if not team.broadcast((folder / DENSE_FILE).exists()):
            _train(spec, planned, data, folder, row_done, tell, team)
    finally:
        lock.release()
    facts = team.broadcast(DenseFile.read(folder) if team.is_main else None)
    assert facts is not None
    state = team.broadcast(load_file(folder / DENSE_WEIGHTS_FILE) if team.is_main else {})
    net = _initialised(bare(planned.model), spec.seed)
    net.load_state_dict(state)
    return Dense(net, facts.network, facts.seconds, facts.history)


def _acquire(lock: FileLock, team: Team, tell: Callable[[str, int], None]) -> None:
    """Take the lock on rank 0; the others hear from it every half minute, so that no collective waits too long."""
    timeout, waiting = 0.0, False
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
        if not waiting:
            tell("another trial trains the dense network", 0)
        timeout, waiting = _LOCK_SECONDS, True


def _train(
    spec: TrialSpec,
    planned: Plan,
    data: Dataset,
    folder: Path,
    row_done: Callable[[Row], None],
    tell: Callable[[str, int], None],
    team: Team,
) -> None:
    """Train the dense network from its checkpoint or from the start, and write weights and `dense.json`."""
    plain = team.broadcast(checkpoint.load(folder / STATE_FILE) if team.is_main else None)
    state = DenseTraining() if plain is None else phases.dense_state(plain)
    # The weights that the spec names are read only where training starts from them.
    model = planned.model if state.loop is None else bare(planned.model)
    device, watch = pick_device(), Stopwatch(state.seconds)
    net = _initialised(model, spec.seed).to(device)

    def epoch_done(row: Row, resume_state: Callable[[], checkpoint.State]) -> None:
        nonlocal state
        state = phases.dense_epoch(state, row, watch.seconds)
        if team.is_main:
            checkpoint.save(folder / STATE_FILE, phases.to_plain(state, spec.dense_key, resume_state()))
        row_done(row)

    run = Run("dense", spec.seed, device, epoch_done, team)
    teacher = make_teacher(spec.dense.distill, None, planned, device) if spec.dense.epochs else None
    net = fit(net, data, spec.dense, run, state.loop, teacher)
    seconds = watch.seconds
    tell("evaluating the dense network", len(state.history))
    result = evaluate_splits(net, data, device, planned.dense_macs, planned.dense_params)
    if team.is_main:
        write_atomic(folder / DENSE_WEIGHTS_FILE, save(tensors(net)))
        DenseFile(network=result, seconds=seconds, history=list(state.history)).write(folder)
        (folder / STATE_FILE).unlink(missing_ok=True)


def _initialised(model: ModelSpec, seed: int) -> nn.Module:
    """Build the network as its seed initialises it, with the weights that `model` names."""
    torch.manual_seed(seed)
    return network(model)
