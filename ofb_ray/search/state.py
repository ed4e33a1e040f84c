"""A search in progress, and what does not change while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ofb_ray.config import SearchSpec
from ofb_ray.data import Dataset
from ofb_ray.method.axis import Widths
from ofb_ray.method.chain import Candidates
from ofb_ray.method.projection import Goal
from ofb_ray.search.budget_weight import BudgetWeight
from ofb_ray.search.calibrate import Prior
from ofb_ray.search.checkpoint import supernet_state
from ofb_ray.search.supernet import Supernet
from ofb_ray.search.trace import Trace
from ofb_ray.train.checkpoint import State, optimizer_state
from ofb_ray.train.targets import Teacher


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
