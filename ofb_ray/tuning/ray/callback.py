"""What Ray says about trials while they run, passed on to the display, the trial's log and the trackers."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

from ray import tune

from ofb_ray.config import Json
from ofb_ray.results.files import LOG_FILE, Progress, TrialFile, trial_folder
from ofb_ray.results.records import Record
from ofb_ray.tuning.console.live import Display
from ofb_ray.tuning.ray.job import number_in
from ofb_ray.tuning.trackers import Trackers


class Events(tune.Callback):
    """Pass what Ray says about trials on to display and trackers, and note deaths in the trial's folder."""

    def __init__(self, results: Path, display: Display, trackers: Trackers) -> None:
        self._results, self._display, self._trackers = results, display, trackers
        self._handed_out: dict[int, TrialFile] = {}
        self._attempted: dict[int, Any] = {}  # Ray's own object of each trial that has begun
        self._recovered: Counter[int] = Counter()

    def handed_out(self, trial: TrialFile) -> None:
        """Take note of a trial that Ray gets."""
        self._handed_out[trial.trial] = trial

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
        self._display.progress(number, self._handed_out[number].model_dump(), result)
        self._trackers.progress(number, result)

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
        log = trial_folder(self._results, number) / LOG_FILE
        if not cause or "RayTaskError" in cause or (log.exists() and cause in log.read_text(encoding="utf-8")):
            return  # Ray announces some deaths twice
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.write(f"Failure {cause}\n")

    def ended(self, number: int, record: Record | None) -> None:
        """Pass on that a trial ended; without a record it was interrupted, or met bad input or a full disk."""
        progress = Progress.read(trial_folder(self._results, number))
        reason = progress.message if record is None and progress is not None and progress.died else ""
        self._display.ended(number, self._handed_out[number].model_dump(), record, reason)
        self._trackers.ended(number, record, reason)
