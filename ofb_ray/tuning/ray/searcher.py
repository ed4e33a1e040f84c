"""Ray Tune's view of the study: it asks for the next trial and says when one has ended. The record is on file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from ofb_ray.config import Json
from ofb_ray.results.driver import SweepResults
from ofb_ray.results.files import TrialFile, trial_folder
from ofb_ray.tuning.lifecycle.failures import disk_trouble, write_failed
from ofb_ray.tuning.lifecycle.source import TrialSource
from ofb_ray.tuning.lifecycle.stop import Stop
from ofb_ray.tuning.ray.job import Job


class StudySearcher(Searcher):
    """Hand out the trials of a source. What Ray reports is not used: a trial's record is the truth.

    Args:
        source: where trials come from.
        job: makes the job of a trial.
        results: the sweep's results.
        stop: once it is set, no further trial is handed out.
        close: called with the number of a trial that ended.
    """

    def __init__(
        self,
        source: TrialSource,
        job: Callable[[TrialFile], Job],
        results: SweepResults,
        stop: Stop,
        close: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._source, self._job = source, job
        self._results, self._stop, self._close = results, stop, close
        self._numbers: dict[str, int] = {}

    def __getstate__(self) -> Json:
        return {}  # Ray pickles what it is given, for a restore that never happens here

    def suggest(self, trial_id: str) -> Any:
        """Return the config of the next trial; None while one may come, Searcher.FINISHED when there is none."""
        trial = None if self._stop.is_set() else self._next()
        if trial is None:
            # What is left may wait for a search that is running: Ray asks again.
            waits = self._numbers and self._source.left > len(self._numbers) and not self._stop.is_set()
            return None if waits else str(Searcher.FINISHED)
        self._numbers[trial_id] = trial.trial
        return self._job(trial).config()

    def _next(self) -> TrialFile | None:
        try:
            while (trial := self._source.next()) is not None:
                self._results.send_issued(trial.trial)
                if not (reason := self._source.barred(trial.trial)):
                    break
                write_failed(trial_folder(self._results.folder, trial.trial), reason)
                self._close(trial.trial)
        except OSError as error:
            self._stop.set(disk_trouble(error, self._results.folder) or f"the results cannot be written: {error}")
            return None
        return trial

    def on_trial_complete(self, trial_id: str, result: Json | None = None, error: bool = False) -> None:
        """Close a trial that ended, failed or was interrupted."""
        number = self._numbers.pop(trial_id, None)
        if number is not None:
            self._close(number)

    def save(self, checkpoint_path: str) -> None:
        """Leave an empty file, as Ray expects one: the journal holds the state and no Ray run is ever restored."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, see `save`."""
