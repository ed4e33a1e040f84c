"""Ray Tune's view of the study: it asks for the next trial and says when one has ended. The record is on file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from ofb_ray.records import Record
from ofb_ray.spec import Json
from ofb_ray.tuning.study import Suggestions


class StudySearcher(Searcher):
    """Hands out the numbers of `suggestions`. What Ray reports is not used: a trial's record is the truth.

    Args:
        suggestions: the sweep's study.
        config: what every trial gets beside its number.
        stopped: once it is true, no further trial is handed out.
        ended: called with the number of a trial that ended, and its record or None if it has none.
    """

    def __init__(
        self,
        suggestions: Suggestions,
        config: Json,
        stopped: Callable[[], bool],
        ended: Callable[[int, Record | None], None],
    ) -> None:
        super().__init__()
        self._suggestions, self._config = suggestions, config
        self._stopped, self._ended = stopped, ended
        self._numbers: dict[str, int] = {}

    def __getstate__(self) -> Json:
        return {}  # Ray pickles what it is given, for a restore that never happens here

    def suggest(self, trial_id: str) -> Any:
        """The config of the next trial; Searcher.FINISHED when there is none."""
        number = None if self._stopped() else self._suggestions.next()
        if number is None:
            return str(Searcher.FINISHED)
        self._numbers[trial_id] = number
        return {**self._config, "number": number}

    def on_trial_complete(self, trial_id: str, result: Json | None = None, error: bool = False) -> None:
        """Tell the study the record of a trial that ended, failed or was interrupted."""
        number = self._numbers.pop(trial_id, None)
        if number is not None:
            self._ended(number, self._suggestions.tell(number))

    def save(self, checkpoint_path: str) -> None:
        """Leave an empty file, as Ray expects one: the journal holds the state and no Ray run is ever restored."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, see `save`."""
