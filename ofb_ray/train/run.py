"""Give training loops what they need of the trial around them: seed, device, team, a hook for finished epochs."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ofb_ray.config import PHASES, Phase, PhaseSpec, TrialSpec
from ofb_ray.data import EpochPlan
from ofb_ray.errors import TrialFailed
from ofb_ray.train.team import Team

_RANK_STRIDE = 1_000_000_007


@dataclass(frozen=True)
class Run:
    """One phase of one trial.

    Args:
        phase: which of a trial's.
        seed: of the trial.
        device: of this worker.
        epoch_done: called after every epoch with its row of history and a function that returns the state to resume
            from.
        team: the workers that train this network together.
    """

    phase: Phase
    seed: int
    device: torch.device
    epoch_done: Callable[[dict[str, Any], Callable[[], dict[str, Any]]], None]
    team: Team = field(default_factory=Team)

    def seed_epoch(self, epoch: int) -> int:
        """Seed torch for one epoch and return the seed: randomness depends on (seed, phase, epoch) alone.

        A run that is resumed at an epoch therefore draws what an uninterrupted one draws. Workers draw their own noise
        (drop-path, mixup) and return the same seed, which orders the images.
        """
        seed = (self.seed * 3 + PHASES.index(self.phase)) * 100_003 + epoch
        torch.manual_seed(seed + self.team.rank * _RANK_STRIDE)
        return seed

    def epoch_pass(self, spec: PhaseSpec, seed: int) -> EpochPlan:
        """Plan this worker's part of one pass over the training split."""
        return EpochPlan(spec.batch_size, seed, spec.micro_batch, self.team.rank, self.team.world)

    def check_finite(self, loss: Tensor, epoch: int) -> float:
        """Return the loss as a float.

        Raises:
            TrialFailed: it is NaN or infinite.
        """
        value = float(loss)
        if not math.isfinite(value):
            raise TrialFailed(f"{self.phase}: the loss is {value} in epoch {epoch + 1}; try a lower {self.phase}.lr")
        return value


class Stopwatch:
    """Measure the seconds of a phase over all processes that worked on it.

    Args:
        before: seconds that earlier processes took.
    """

    def __init__(self, before: float) -> None:
        self._start = time.perf_counter() - before

    @property
    def seconds(self) -> float:
        """The phase's seconds so far."""
        return time.perf_counter() - self._start


def progress(spec: TrialSpec, phase: Phase, row: dict[str, Any], message: str = "") -> dict[str, Any]:
    """Make the report of an epoch: phase, epoch, epochs, progress over the whole trial in [0, 1], message.

    Args:
        row: the epoch's row of history; its top1_val, loss and expected_macs are passed on where it has them.
    """
    epochs = {name: spec.epochs(name) for name in PHASES}
    before = sum(epochs[name] for name in PHASES[: PHASES.index(phase)])
    known: dict[str, Any] = {key: row[key] for key in ("top1_val", "loss", "expected_macs") if key in row}
    facts = {"phase": phase, "epoch": row["epoch"], "epochs": epochs[phase], "message": message}
    return {**facts, "progress": (before + row["epoch"]) / max(1, sum(epochs.values())), **known}


def pick_device() -> torch.device:
    """Choose the GPU that this process was given, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Compute in bfloat16 on a GPU; on a CPU everything stays float32, bit for bit repeatable."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()
