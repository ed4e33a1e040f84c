"""What Ray says about trials while they run, passed on to the display, the trial's log and the trackers."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune

from ofb_ray.config import Json
from ofb_ray.results.files import LOG_FILE, Progress, trial_folder
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.records import Record
from ofb_ray.tuning.console.live import Display
from ofb_ray.tuning.ray.job import number_in
from ofb_ray.tuning.trackers import Trackers


class Events(tune.Callback):
    """Pass what Ray says about trials on to display and trackers, and note deaths in the trial's folder.

    Args:
        index: the sweep's trials.
        display: shows their progress.
        trackers: log it.
        searched: called with the number of a trial whose search is done, at every report of its fine-tuning.
    """

    def __init__(
        self, index: TrialIndex, display: Display, trackers: Trackers, searched: Callable[[int], None]
    ) -> None:
        self._searched = searched
        self._index, self._display, self._trackers = index, display, trackers
        self._attempted: dict[int, Any] = {}  # Ray's own object of each trial that has begun
        self._recovered: Counter[int] = Counter()

    def recovered(self, number: int) -> int:
        """Return how often Ray has let a trial go on after a death."""
        return self._recovered[number]

    def last_words(self, number: int) -> str:
        """Return what Ray says of a trial's last death; empty where there was none."""
        trial = self._attempted.get(number)
        if trial is None or trial.error_file is None or not Path(trial.error_file).exists():
            return ""
        return Path(trial.error_file).read_text(encoding="utf-8").rpartition("Failure # ")[2]

    def __getstate__(self) -> Json:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Take note of an attempt that begins."""
        number = number_in(trial.config)
        self._attempted[number] = trial
        self._trackers.started(number)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Json, **_: Any) -> None:
        """Pass a report on."""
        number = number_in(trial.config)
        progress = Progress.model_validate(result)
        self._display.progress(self._index.trial(number), progress)
        self._trackers.progress(number, progress)
        if progress.phase == "finetune":  # `done` is said by failed trials, too
            self._searched(number)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Take note of a death after which the trial goes on."""
        number = number_in(trial.config)
        self._recovered[number] += 1
        self._log(number)
        self._display.note(f"trial {number}: its process died or raised an error; it goes on from its checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Take note of a death that Ray does not try again."""
        self._log(number_in(trial.config))

    def _log(self, number: int) -> None:
        """What Ray knows about a death (the system's out-of-memory killer, say) goes into the trial's log.

        An error that was raised is there already, written by the process that raised it.
        """
        cause = self.last_words(number)
        log = trial_folder(self._index.results, number) / LOG_FILE
        if not cause or "RayTaskError" in cause or (log.exists() and cause in log.read_text(encoding="utf-8")):
            return  # Ray announces some deaths twice
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.write(f"Failure {cause}\n")

    def ended(self, number: int, record: Record | None) -> None:
        """Pass on that a trial ended; without a record it was interrupted, or met bad input or a full disk."""
        fact = self._index.fact(number)
        reason = fact.progress.message if fact.state == "died" else ""
        self._display.ended(self._index.trial(number), record, reason)
        self._trackers.ended(number, record, reason)
