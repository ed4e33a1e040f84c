"""Read and write `record.json`, what a trial leaves behind: written atomically and never changed afterwards.

Analysis reads records and nothing else, so this module imports neither torch nor Ray.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ofb_ray.config import SWEEP_NAME, Budget, Resource
from ofb_ray.results.atomic import write_json
from ofb_ray.results.files import RECORD_FILE, read_model

FORMAT = 1


class Network(BaseModel):
    """One network's size and accuracy. Accuracies are percentages; None was not measured."""

    model_config = ConfigDict(frozen=True)
    macs: int = Field(ge=0, description="Multiply-accumulate operations for one image.")
    params: int = Field(ge=0, description="Number of parameters.")
    latency_ns: int | None = Field(
        None, ge=0, description="Nanoseconds of a pass by the table of latencies; null where the budget limits others."
    )
    top1_val: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Top-1 accuracy on the held-out part of train, in percent; null was not measured.",
    )
    top5_val: float | None = Field(None, description="Top-5 accuracy on the held-out part of train, in percent.")
    top1_test: float | None = Field(
        None, description="Top-1 accuracy on the test split, in percent; it selects nothing."
    )
    top5_test: float | None = Field(None, description="Top-5 accuracy on the test split, in percent.")


class BudgetOutcome(BaseModel):
    """The promise and how it was kept: `used` = subnet cost / target; `note` says why if it is below 0.99.

    `target` and `minimum` are 0 where the trial ended before they were known.
    """

    model_config = ConfigDict(frozen=True)
    label: str = Field(description="The budget as short text, such as `0.5` or `1.7 GMACs`.")
    resource: Resource = Field(description="What the budget limits.")
    target: int = Field(
        0, description="Limit in MACs, parameters or nanoseconds; 0 where the trial ended before it was known."
    )
    used: float | None = Field(None, description="Cost of the subnet over `target`.")
    minimum: int = Field(
        0, description="Cost of the smallest subnet of the search space; 0 where the trial ended before it was known."
    )
    note: str = Field("", description="Why `used` is below 0.99, if it is.")


class LatencyOutcome(BaseModel):
    """A budget of latency and how it was kept, in milliseconds of a pass; null was not measured.

    Ratios are of a run in which subnet and dense network take turns, over the dense network: a busy machine slows both.
    """

    model_config = ConfigDict(frozen=True)
    target_ms: float = Field(description="Limit.")
    predicted_ms: float = Field(description="The subnet by the table of latencies.")
    dense_ms: float = Field(description="The dense network by the table of latencies.")
    measured_dense_ms: float | None = Field(None, description="The dense network in the run of the ratios, median.")
    ratio: float | None = Field(None, description="Subnet over dense network, median over the rounds.")
    ratio_low: float | None = Field(None, description="10 % quantile of the ratio.")
    ratio_high: float | None = Field(None, description="90 % quantile of the ratio.")
    rounds: int = Field(0, description="Rounds in which each of them took its turn.")
    table_error: float | None = Field(
        None, description="Median relative error of the table on networks that it was not fitted to."
    )
    corrections: int = Field(0, description="Times that the projection was repeated because a subnet was too slow.")

    @property
    def used(self) -> float | None:
        """Measured time over the limit; None was not measured."""
        return None if self.ratio is None else self.ratio * self.dense_ms / self.target_ms


class _Named(BaseModel):
    name: str
    root: str | None = None


class _Above(BaseModel):
    above: list[dict[str, Any]] = []


class _Chained(BaseModel):
    chain: _Above | None = None


class _Told(BaseModel):
    model: _Named
    data: _Named


class ToldRecord(BaseModel):
    """What a model card tells of a spec; a record of another version may hold anything else."""

    spec: _Told


class Record(BaseModel):
    """One trial. `status`: finished, failed (with `reason`) or stopped (by a gate, with `reason`).

    `finished` is the time of its end, ISO 8601 in UTC, in whatever way it ended.
    """

    model_config = ConfigDict(frozen=True)
    format: int = Field(FORMAT, description="Version of this format.")
    trial: int = Field(ge=0, description="Number of the trial in its sweep, from 0.")
    sweep: str = Field(pattern=f"^({SWEEP_NAME})?$", description="Name of the sweep.")
    key: str = Field(description="Hash of the resolved spec: the trial's identity.")
    status: Literal["finished", "failed", "stopped"] = Field(
        description="How the trial ended; `stopped` is an early stop."
    )
    reason: str = Field("", description="Why it failed or was stopped.")
    spec: dict[str, Any] = Field(description="The resolved spec; see the sweep keys.")
    params_explored: dict[str, Any] = Field({}, description="Values that the sampler chose, by dotted key.")
    seed: int = Field(description="Seed of everything random.")
    budget: BudgetOutcome = Field(description="The budget and how it was met.")
    dense: Network | None = Field(None, description="The dense network.")
    dense_widths: dict[str, tuple[int, int]] = Field(
        {}, description="Heads and width of every axis of the dense network; empty in records from before it was kept."
    )
    subnet: Network | None = Field(None, description="The compressed network.")
    arch: dict[str, Any] | None = Field(None, description="Architecture of the subnet, as in `arch.json`.")
    seconds: dict[str, float] = Field({}, description="Wall time of each phase, in seconds.")
    gpu_seconds: dict[str, float] = Field({}, description="Seconds of all workers' GPUs by phase; empty on a CPU.")
    peak_memory_bytes: int | None = Field(
        None, description="Peak of the tensors on a GPU, of the process' resident memory on a CPU, in bytes."
    )
    history: list[dict[str, Any]] = Field(
        [], description="One row for each epoch: phase, epoch, losses, accuracies and costs."
    )
    latency: LatencyOutcome | None = Field(
        None, description="How a budget of latency was kept; null where the budget limits another cost."
    )
    events: list[dict[str, Any]] = Field(
        [],
        description="One row for each cut: epoch, axis, sizes, and the relative change of the logits (`output_gap`).",
    )
    class_names: list[str] = Field(
        [],
        description="Names of the classes in the order of their labels, printable; empty where they are not known and "
        "in records from before they were kept.",
    )
    environment: dict[str, Any] = Field({}, description="Versions, device, threads, git commit and numbers of images.")
    finished: str = Field("", description="Time of the end, ISO 8601 in UTC.")

    @field_validator("spec")
    @classmethod
    def _follows_budgets(cls, spec: dict[str, Any]) -> dict[str, Any]:
        _Chained.model_validate(spec)
        return spec

    @property
    def above(self) -> str:
        """The label of the budget whose network the search started from; empty: the dense network."""
        above = (self.spec.get("chain") or {}).get("above")
        return Budget.model_validate(above[-1]).label if above else ""

    @property
    def outcome(self) -> Outcome:
        """How the trial ended, without its history."""
        searched = self.arch is not None
        return Outcome(self.status, self.reason, self.budget, self.subnet, self.seconds, self.dense, searched)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended, without its history: what a sweep keeps of a record in memory.

    Args:
        status: of the record, with its `reason`.
        budget: what was promised, and how it was kept.
        subnet: size and accuracy; None where the trial did not come so far.
        seconds: wall time by phase.
        dense: size and accuracy of the dense network, if it came so far.
        searched: whether its search came to an end.
    """

    status: Literal["finished", "failed", "stopped"]
    reason: str
    budget: BudgetOutcome
    subnet: Network | None
    seconds: dict[str, float]
    dense: Network | None = None
    searched: bool = False

    @property
    def merit(self) -> tuple[float, int] | None:
        """What sorts trials, the best first: top-1 downwards, cost upwards. None: not finished, or above the budget."""
        if self.status != "finished" or self.subnet is None or self.subnet.top1_val is None:
            return None
        cost = int(getattr(self.subnet, self.budget.resource))
        return (-self.subnet.top1_val, cost) if cost <= self.budget.target else None


def now() -> str:
    """Return the time in UTC, ISO 8601 to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def write_record(folder: Path, record: Record) -> None:
    """Write `folder`/record.json. A record that is there already stays (FileExistsError)."""
    path = folder / RECORD_FILE
    if path.exists():
        raise FileExistsError(f"{path} exists: a finished record never changes")
    write_json(path, record.model_dump(mode="json"))


def read_record(folder: Path) -> Record | None:
    """Read the record of a trial folder, or return None where there is none.

    Raises:
        BrokenFileError: the file is not a record; names it and the key.
    """
    return read_model(Record, folder / RECORD_FILE)
