"""What becomes of a trial that has ended: its record, the reason if it has none, and who is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ofb_ray.config import SweepSpec
from ofb_ray.results import records
from ofb_ray.results.atomic import read_json
from ofb_ray.results.driver import Place
from ofb_ray.results.files import LOG_FILE, PROGRESS_FILE, trial_folder
from ofb_ray.results.records import Record
from ofb_ray.tuning.lifecycle.failures import ATTEMPT, disk_trouble, worded, write_failed
from ofb_ray.tuning.lifecycle.promote import Promotions
from ofb_ray.tuning.lifecycle.stop import Stop
from ofb_ray.tuning.optuna.study import Suggestions

_LOG_TAIL = 20_000


class Outcomes:
    """Closes trials: fetches what they left, writes the record of one that died too often, tells the study.

    Ray announces some deaths twice, and gives a trial up if it waits for its next attempt at the second one: such a
    trial stays open, and `given_up` names it.

    Args:
        recovered: how often Ray has let a trial go on after a death.
        last: there is no further round for what Ray gives up too early: it has failed.
        ended: called last, with the number and the record, or None where the trial stays open.
    """

    def __init__(
        self,
        place: Place,
        spec: SweepSpec,
        suggestions: Suggestions | Promotions,
        stop: Stop,
        recovered: Callable[[int], int],
        ended: Callable[[int, Record | None], None],
        last: bool = False,
    ) -> None:
        self._place, self._spec, self._suggestions = place, spec, suggestions
        self._stop, self._recovered, self._ended = stop, recovered, ended
        self._last = last
        self.given_up: set[int] = set()

    def close(self, number: int) -> None:
        """Trial `number` has ended, in whatever way. A disk or a store that fails here ends the sweep in order."""
        try:
            self._place.ended(number)
            record = self._record(number)
            self._suggestions.tell(number)
            self._place.closed(number)
            self._ended(number, record)
        except OSError as error:
            self._stop.set(disk_trouble(error, self._place.results) or f"the results cannot be written: {error}")

    def _record(self, number: int) -> Record | None:
        folder = trial_folder(self._place.results, number)
        record = records.read_record(folder)
        if record is not None or self._stop.is_set():
            return record
        progress = read_json(folder / PROGRESS_FILE)
        if progress.get("phase") == "died":  # bad input or a full disk: the next launch tries again
            if progress.get("stop"):
                self._stop.set(str(progress["message"]))
            return None
        if self._place.lost:
            self._stop.set("another driver has taken this sweep")
            return None
        retries = self._spec.failure.retries
        if self._recovered(number) < retries and not self._last:
            self.given_up.add(number)
            return None
        return write_failed(folder, f"{_cause(folder, self._spec)} ({retries + 1} attempts, see {LOG_FILE})")


def _cause(folder: Path, spec: SweepSpec) -> str:
    """Why the last attempt died, as its part of the log tells."""
    try:
        log = (folder / LOG_FILE).read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
    except OSError:
        return "its process died"
    log = log.rpartition(ATTEMPT)[2]
    last = log.rpartition("Failure ")[2] if "Failure " in log else log
    if "Timeout (" in log and "Thread 0x" in log:
        return f"no report for {spec.failure.silent_minutes:g} minutes"
    if "low on memory" in last:
        return "its machine ran out of memory"
    errors = re.findall(r"^(?:\w+\.)*(\w*(?:Error|Exception)\b.*)$", log, flags=re.MULTILINE)
    if errors and "died" not in last:
        name, _, first = str(errors[-1]).partition(": ")
        return worded(name, first[:300])
    return "its process died (killed, or the machine was lost)"
