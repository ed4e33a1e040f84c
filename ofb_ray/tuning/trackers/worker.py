"""Run each tracker in a thread of its own: what it does, and how long it takes, never holds up the sweep."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ofb_ray.results import records
from ofb_ray.results.files import trial_folder
from ofb_ray.results.index import TrialIndex
from ofb_ray.tuning.trackers.base import Tracker, track

RETRY_SECONDS = 60.0
# An entry that a server refuses for its own sake must not hold up all others; the next launch tries it again.
_TRIES = 10
# At the end of the sweep so many failures tell that the server is away.
_HOPELESS = 3
_ENTRIES = 200_000


class Worker:
    """Deliver entries to one tracker, in order; one that fails is tried again every minute.

    Args:
        name: of the tracker.
        index: the sweep's trials.
        make: opens it, in the thread: importing MLflow takes seconds.
        done: the file that lists, a line each, the trials whose end has arrived.
        note: tells the user a line.
    """

    def __init__(
        self, name: str, index: TrialIndex, make: Callable[[], Tracker], done: Path, note: Callable[[str], None]
    ) -> None:
        self.name, self._index, self._make, self._done, self._note = name, index, make, done, note
        self._entries: queue.Queue[tuple[str, int, tuple[Any, ...]] | None] = queue.Queue()
        self._closing = threading.Event()
        self._tracker: Tracker | None = None
        self._failing = self._off = False
        self._lost = 0
        self._thread = threading.Thread(target=self._work, name=f"tracker-{name}", daemon=True)
        self._thread.start()

    def put(self, what: str, number: int, *arguments: Any) -> None:
        """Have the tracker's method `what` called for trial `number`; returns at once.

        `log` takes a row of history, `end` a record or None and a reason; `catch_up` ends a trial by its record.
        """
        if self._off:
            return
        if self._entries.qsize() > _ENTRIES:
            self._off = True
            self._note(f"tracker {self.name}: too much is waiting for it; it is switched off for this launch")
            return
        self._entries.put((what, number, arguments))

    def close(self) -> None:
        """Deliver what is waiting, but try nothing again."""
        self._closing.set()
        self._entries.put(None)

    def wait(self, deadline: float) -> None:
        """Wait until all is delivered, or until `time.monotonic()` is past the deadline; tell what is not."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive() or self._lost:
            self._note(
                f"tracker {self.name}: not everything has arrived; the next launch of this sweep makes up for it"
            )

    def _work(self) -> None:
        while (entry := self._entries.get()) is not None:
            self._deliver(*entry)
            if self._closing.is_set() and self._failing and self._lost >= _HOPELESS:
                return
        if self._tracker is not None:
            self._attempt(self._tracker.close)

    def _deliver(self, what: str, number: int, arguments: tuple[Any, ...]) -> None:
        for _ in range(_TRIES):
            if self._attempt(lambda: self._call(what, number, arguments)):
                return
            if self._closing.is_set():
                break
            self._closing.wait(RETRY_SECONDS)
        self._lost += 1

    def _call(self, what: str, number: int, arguments: tuple[Any, ...]) -> None:
        if self._tracker is None:
            self._tracker = self._make()
        trial = track(self._index.trial(number))
        try:
            if what == "start":
                self._tracker.start(trial)
            elif what == "log":
                if (step := trial.step(arguments[0])) is not None:
                    self._tracker.log(trial, step, arguments[0])
            else:
                record, reason = arguments or (records.read_record(trial_folder(self._index.results, number)), "")
                self._tracker.end(trial, record, reason)
                if record is not None:
                    self._note_done(number)
        except Exception:
            self._tracker.forget(number)
            raise

    def _note_done(self, number: int) -> None:
        with self._done.open("a", encoding="utf-8") as file:
            file.write(f"\n{number}\n")  # a line of its own, even behind a torn one

    def _attempt(self, job: Callable[[], None]) -> bool:
        try:
            job()
        except Exception as error:  # a tracker's libraries raise what they like
            if not self._failing:
                reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
                self._note(f"tracker {self.name}: {reason[:200]}; the sweep goes on, it is tried again every minute")
            self._failing = True
            return False
        self._failing = False
        return True
