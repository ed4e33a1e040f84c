"""What becomes of a trial that has ended: its record, the reason if it has none, and who hears of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from ofb_ray.results import records
from ofb_ray.results.driver import SweepResults
from ofb_ray.results.files import LOG_FILE, Death, Progress, trial_folder
from ofb_ray.results.records import Record
from ofb_ray.tuning.lifecycle.failures import disk_trouble, write_failed
from ofb_ray.tuning.lifecycle.source import TrialSource
from ofb_ray.tuning.lifecycle.stop import Stop


class Runner(Protocol):
    """What runs the trials, and follows them."""

    def recovered(self, number: int) -> int:
        """Return how often it has let a trial go on after a death."""

    def last_words(self, number: int) -> str:
        """Return its own text about the trial's last death; empty where there was none."""

    def ended(self, number: int, record: Record | None) -> None:
        """Take note that a trial has ended: with its record, or without one where it stays open."""


class Outcomes:
    """Close trials: fetch what they left, write the record of one that died too often, tell the study.

    Ray announces some deaths twice, and gives a trial up if it waits for its next attempt at the second one: such a
    trial stays open, and `given_up` names it.

    Args:
        results: the sweep's results.
        source: where its trials come from.
        stop: ends the sweep.
        runner: is asked about deaths, and hears last of every end.
        last: there is no further round for what Ray gives up too early: it has failed.
    """

    def __init__(
        self,
        results: SweepResults,
        source: TrialSource,
        stop: Stop,
        runner: Runner,
        last: bool = False,
    ) -> None:
        self._results, self._source, self._spec = results, source, source.spec
        self._stop, self._runner, self._last = stop, runner, last
        self.given_up: set[int] = set()

    def close(self, number: int) -> None:
        """Close trial `number`, however it ended. A disk or a store that fails here ends the sweep in order."""
        try:
            self._results.fetch_ended(number)
            record = self._record(number)
            self._source.close(number, record.outcome if record is not None else None)
            self._results.send_closed(number)
            self._runner.ended(number, record)
        except OSError as error:
            self._stop.set(disk_trouble(error, self._results.folder) or f"the results cannot be written: {error}")

    def _record(self, number: int) -> Record | None:
        folder = trial_folder(self._results.folder, number)
        record = records.read_record(folder)
        if record is not None or self._stop.is_set():
            return record
        progress = Progress.read(folder)
        if progress is not None and progress.died:  # bad input or a full disk: the next launch tries again
            if progress.stop:
                self._stop.set(progress.message)
            return None
        if self._results.lost:
            self._stop.set("another driver has taken this sweep")
            return None
        retries = self._spec.failure.retries
        if self._runner.recovered(number) < retries and not self._last:
            self.given_up.add(number)
            return None
        cause = _cause(folder, progress, self._spec.failure.silent_minutes, self._runner.last_words(number))
        return write_failed(folder, f"{cause} ({retries + 1} attempts, see {LOG_FILE})")


def _cause(folder: Path, progress: Progress | None, silent_minutes: float | None, last_words: str) -> str:
    """Say why the last attempt died: by its own word, by its silence, or else by the word of the one who ran it.

    C code that hangs and keeps the interpreter's lock leaves no word: the age of the last report then tells it.

    Args:
        progress: the attempt's last report, None before the first.
        silent_minutes: after which an attempt is ended as hung; None never.
    """
    if (death := Death.read(folder)) is not None:
        return death.reason
    reported = progress.time if progress is not None else None
    if silent_minutes and reported is not None and time.time() - reported >= 60 * silent_minutes:
        return f"no report for {silent_minutes:g} minutes"
    if "low on memory" in last_words:  # Ray's memory monitor kills without a warning
        return "its machine ran out of memory"
    return "its process died (killed, or the machine was lost)"
