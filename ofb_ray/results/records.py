"""What one finished trial leaves behind: `record.json`, written atomically and never changed afterwards.

Analysis reads records and nothing else, so this module imports neither torch nor Ray.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FORMAT = 1
RECORD_FILE, ARCH_FILE, WEIGHTS_FILE = "record.json", "arch.json", "model.safetensors"


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


def write_json(path: Path, tree: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part, even across a power cut."""
    write_atomic(path, json.dumps(tree, indent=1, allow_nan=False).encode())


def write_atomic(path: Path, data: bytes) -> None:
    """Write bytes to a temporary neighbour, flush it to the disk and rename it over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # half a file on a full disk would keep it full
        raise


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


def trial_folder(results: Path, number: int) -> Path:
    """The folder of trial `number`: five digits, so that names sort as numbers."""
    return results / f"{number:05d}"


def trial_folders(results: Path) -> list[Path]:
    """The trial folders of a results folder, in the order of their numbers."""
    return sorted(path for path in results.iterdir() if path.is_dir() and path.name.isdigit())
