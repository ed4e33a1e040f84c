"""What one finished trial leaves behind: `record.json`, written atomically and never changed afterwards.

Analysis reads records and nothing else, so this module imports neither torch nor Ray.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ofb_ray.results.atomic import write_json
from ofb_ray.results.files import RECORD_FILE

FORMAT = 1


class Network(BaseModel):
    """One network's size and accuracy. Accuracies are percentages; None was not measured."""

    model_config = ConfigDict(frozen=True)
    macs: int
    params: int
    top1_val: float | None = None
    top5_val: float | None = None
    top1_test: float | None = None
    top5_test: float | None = None


class BudgetOutcome(BaseModel):
    """The promise and how it was kept: `used` = subnet cost / target; `note` says why if it is below 0.99.

    `target` and `minimum` are 0 where the trial ended before they were known.
    """

    model_config = ConfigDict(frozen=True)
    label: str
    resource: Literal["macs", "params"]
    target: int = 0
    used: float | None = None
    minimum: int = 0
    note: str = ""


class Record(BaseModel):
    """One trial. `status`: finished, failed (with `reason`) or stopped (by a gate, with `reason`).

    `finished` is the time of its end, ISO 8601 in UTC, in whatever way it ended; older records have none.
    """

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    trial: int
    sweep: str
    key: str
    status: Literal["finished", "failed", "stopped"]
    reason: str = ""
    spec: dict[str, Any]
    params_explored: dict[str, Any] = {}
    seed: int
    budget: BudgetOutcome
    dense: Network | None = None
    subnet: Network | None = None
    arch: dict[str, Any] | None = None
    seconds: dict[str, float] = {}
    gpu_seconds: dict[str, float] = {}
    peak_memory_bytes: int | None = None
    history: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    environment: dict[str, Any] = {}
    finished: str = ""


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def write_record(folder: Path, record: Record) -> None:
    """Write `folder`/record.json. A record that is there already stays (FileExistsError)."""
    path = folder / RECORD_FILE
    if path.exists():
        raise FileExistsError(f"{path} exists: a finished record never changes")
    write_json(path, record.model_dump(mode="json"))


def read_record(folder: Path) -> Record | None:
    """The record of a trial folder, or None where the trial is not finished.

    Raises:
        ValueError: the file is not a record; the message names it.
    """
    path = folder / RECORD_FILE
    if not path.exists():
        return None
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not a record of format {FORMAT}: {error}") from None
