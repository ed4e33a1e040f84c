"""Feed TensorBoard, MLflow, W&B, csv and json from the driver: a trial is one run, however often a sweep is resumed.

Ray's own logger callbacks are not used: they begin a new run at every launch and at every attempt.
"""

from __future__ import annotations

import importlib.util
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from ofb_ray.config import SweepSpec
from ofb_ray.errors import InputError
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.files import LOGGER_FOLDER, Progress
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.records import Record
from ofb_ray.tuning.trackers.base import Tracker, row_of
from ofb_ray.tuning.trackers.worker import Worker

CLOSE_SECONDS = 20.0
_OPTIONAL = ("mlflow", "wandb")


def check_installed(spec: SweepSpec) -> None:
    """Check that every tracker that the sweep names can be imported.

    Raises:
        InputError: one cannot.
    """
    for position, entry in enumerate(spec.loggers):
        for name in entry:
            if name in _OPTIONAL and importlib.util.find_spec(name) is None:
                raise InputError(f"{name} is not installed: pip install {name}", key=f"loggers.{position}")


class Trackers:
    """Feed all trackers of one launch. Use as a context manager.

    Trials that finished while no driver was there, or before a tracker was named, are delivered first.

    Args:
        index: the sweep's trials.
        note: tells the user a line; called from several threads.
    """

    def __init__(self, index: TrialIndex, note: Callable[[str], None]) -> None:
        spec, folder = index.spec, index.results / LOGGER_FOLDER
        named = identity(folder) if spec.loggers else ""
        self._workers: list[Worker] = []
        for entry in spec.loggers:
            for name, options in entry.items():
                done = folder / f".{name}.done"
                ended = _numbers(done)
                make = _maker(name, options, folder, spec.name, named)
                self._workers.append(worker := Worker(name, index, make, done, note))
                for fact in index.facts:
                    if fact.number not in ended and fact.outcome is not None and fact.trial is not None:
                        worker.put("catch_up", fact.number)

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def started(self, number: int) -> None:
        """Open the run of a trial that begins, or goes on."""
        self._put("start", number)

    def progress(self, number: int, report: Progress) -> None:
        """Log a report of a trial; whatever is no epoch is left out."""
        if (row := row_of(report)) is not None:
            self._put("log", number, row)

    def ended(self, number: int, record: Record | None, reason: str) -> None:
        """End the run of a trial: with its record, or without one for `reason`; an empty reason is an interruption."""
        self._put("end", number, record, reason)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Deliver what is waiting, for so many seconds at most."""
        deadline = time.monotonic() + seconds
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.wait(deadline)
        self._workers = []

    def _put(self, what: str, number: int, *arguments: object) -> None:
        for worker in self._workers:
            worker.put(what, number, *arguments)


def _maker(name: str, options: dict[str, str], folder: Path, sweep: str, named: str) -> Callable[[], Tracker]:
    def make() -> Tracker:
        if name == "tensorboard":
            from ofb_ray.tuning.trackers.tensorboard_runs import Board

            return Board(folder / name)
        if name == "mlflow":
            from ofb_ray.tuning.trackers.mlflow_runs import MlflowRuns

            return MlflowRuns(sweep, named, options)
        if name == "wandb":
            from ofb_ray.tuning.trackers.wandb_runs import WandbRuns

            return WandbRuns(folder, sweep, named, options)
        from ofb_ray.tuning.trackers.files import Files

        return Files(folder, name)

    return make


def identity(folder: Path) -> str:
    """Return the results folder's own name for other systems, made once: it stays when the folder moves."""
    path = folder / "identity"
    if not path.exists():
        write_atomic(path, uuid.uuid4().hex[:12].encode())
    return path.read_text(encoding="utf-8")


def _numbers(path: Path) -> set[int]:
    """Read the whole lines of a file of numbers; a torn last one is left out."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return {int(line) for line in text.splitlines(keepends=True) if line.strip() and line.endswith("\n")}
