"""What Ray says about trials while they run, passed on to the display, the trial's log and the trackers."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

from ray import tune

from ofb_ray.config import Json
from ofb_ray.results.atomic import read_json
from ofb_ray.results.files import LOG_FILE, PROGRESS_FILE, TRIAL_FILE, trial_folder
from ofb_ray.results.records import Record
from ofb_ray.tuning.console.live import Display
from ofb_ray.tuning.trackers import Trackers


class Events(tune.Callback):
    """Passes what Ray says about trials on to display and trackers, and notes deaths in the trial's folder."""

    def __init__(self, results: Path, display: Display, trackers: Trackers) -> None:
        self._results, self._display, self._trackers = results, display, trackers
        self._trials: dict[int, Json] = {}
        self._recovered: Counter[int] = Counter()

    def recovered(self, number: int) -> int:
        """How often Ray has let a trial go on after a death."""
        return self._recovered[number]

    def __getstate__(self) -> Json:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._trackers.started(trial.config["number"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Json, **_: Any) -> None:
        number = trial.config["number"]
        self._display.progress(number, self._trial(number), result)
        self._trackers.progress(number, result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        number = trial.config["number"]
        self._recovered[number] += 1
        self._log(number, trial)
        self._display.note(f"trial {number}: its process died or raised an error; it goes on from its checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._log(trial.config["number"], trial)

    def _log(self, number: int, trial: Any) -> None:
        """What Ray knows about a death (the system's out-of-memory killer, say) goes into the trial's log.

        An error that was raised is there already, written by the process that raised it.
        """
        if trial.error_file is None or not Path(trial.error_file).exists():
            return
        cause = Path(trial.error_file).read_text(encoding="utf-8").rpartition("Failure # ")[2]
        log = trial_folder(self._results, number) / LOG_FILE
        if "RayTaskError" in cause or (log.exists() and cause in log.read_text(encoding="utf-8")):
            return  # Ray announces some deaths twice
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.write(f"Failure {cause}\n")

    def ended(self, number: int, record: Record | None) -> None:
        """A trial ended; without a record it was interrupted, or met bad input or a full disk."""
        folder = trial_folder(self._results, number)
        progress = read_json(folder / PROGRESS_FILE)
        reason = str(progress["message"]) if record is None and progress.get("phase") == "died" else ""
        self._display.ended(number, self._trial(number), record, reason)
        self._trackers.ended(number, record, reason)

    def _trial(self, number: int) -> Json:
        if number not in self._trials:
            self._trials[number] = read_json(trial_folder(self._results, number) / TRIAL_FILE)
        return self._trials[number]
