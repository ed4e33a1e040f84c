"""The states of a trial, one type for each phase: what its checkpoint holds, and how one follows from another.

    Searching --search_epoch--> Searching --end_search--> Searched --finetune_epoch--> FineTuning --finetune_epoch-->

Dense training comes before these; its network is shared by trials, so `DenseTraining` has a checkpoint of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from ofb_ray.export import Arch
from ofb_ray.train.checkpoint import State

Row = dict[str, Any]


@dataclass(frozen=True)
class Searching:
    """The search has not begun or is under way.

    Args:
        history: a row for each epoch of the search and of fine-tuning that is done.
        seconds: by phase, dense training apart.
        loop: what the phase's training loop goes on from; None before its first epoch, and wherever a loop that is
            running holds the tensors itself.
    """

    history: Sequence[Row] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    loop: State | None = None


@dataclass(frozen=True)
class Searched:
    """The subnet is decided and fused, and nothing of it has been fine-tuned. A kept search is one of these.

    Args:
        arch: the subnet's architecture.
        weights: its tensors by name, on the CPU.
        events: a row for each cut of the search.
        trace: what `search.npz` is written from.
        history, seconds: as in `Searching`.
        note: in a chain, why the candidates that were left cannot come within 1 % of the target, or empty.
        start: in a chain, the sizes (heads, width) of the axes that the search started from.
    """

    arch: Arch
    weights: Mapping[str, Tensor]
    events: Sequence[Row]
    trace: State
    history: Sequence[Row]
    seconds: Mapping[str, float]
    note: str = ""
    start: Mapping[str, tuple[int, int]] | None = None


@dataclass(frozen=True)
class FineTuning:
    """The subnet has been fine-tuned for at least one epoch.

    Args:
        arch, events, history, seconds, loop, note: as in `Searched` and `Searching`.
    """

    arch: Arch
    events: Sequence[Row]
    history: Sequence[Row]
    seconds: Mapping[str, float]
    loop: State | None
    note: str = ""


@dataclass(frozen=True)
class DenseTraining:
    """The dense network is being trained.

    Args:
        history: a row for each epoch that is done.
        seconds: of dense training.
        loop: as in `Searching`.
    """

    history: Sequence[Row] = ()
    seconds: float = 0.0
    loop: State | None = None


TrialState = Searching | Searched | FineTuning


def dense_epoch(state: DenseTraining, row: Row, seconds: float) -> DenseTraining:
    """Add an epoch of dense training: its row of history, and its seconds so far."""
    return DenseTraining([*state.history, row], seconds)


def search_epoch(state: Searching, row: Row, seconds: float) -> Searching:
    """Add an epoch of the search: its row of history, and the phase's seconds so far."""
    return Searching([*state.history, row], {**state.seconds, "search": seconds})


def end_search(
    state: Searching, arch: Arch, weights: Mapping[str, Tensor], events: Sequence[Row], trace: State
) -> Searched:
    """Leave the search with the subnet that it decided; see `Searched` for the arguments."""
    return Searched(arch, weights, events, trace, state.history, state.seconds)


def finetune_epoch(state: Searched | FineTuning, row: Row, seconds: float) -> FineTuning:
    """Add an epoch of fine-tuning; weights and trace of the search are of no more use."""
    history, spent = [*state.history, row], {**state.seconds, "finetune": seconds}
    return FineTuning(state.arch, state.events, history, spent, None, state.note)


def to_plain(state: DenseTraining | TrialState, key: str, loop: State | None = None) -> State:
    """Turn a state into containers that `torch.load(weights_only=True)` reads.

    Args:
        key: of what the checkpoint belongs to: a trial, a search that is kept for others, or a dense network.
        loop: of the running loop; None where the state has none.
    """
    values = {each.name: getattr(state, each.name) for each in fields(state)}
    return {"key": key, "state": type(state).__name__, "values": values | ({"loop": loop} if loop else {})}


def trial_state(plain: State) -> TrialState:
    """Turn what `to_plain` returned of a trial's state into that state again."""
    kind = next(each for each in (Searching, Searched, FineTuning) if each.__name__ == plain["state"])
    return kind(**plain["values"])


def dense_state(plain: State) -> DenseTraining:
    """Turn what `to_plain` returned of a `DenseTraining` into it again."""
    return DenseTraining(**plain["values"])
