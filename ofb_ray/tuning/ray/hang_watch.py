"""The end of a trial's process that hangs: nothing has been reported for too long."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from ofb_ray.results.files import LOG_FILE
from ofb_ray.tuning.lifecycle.failures import write_death

# C code that hangs and keeps the interpreter's lock stops the watching thread, too. faulthandler needs no lock: it ends
# the process so much later, but can leave no more than the stacks.
GRACE_SECONDS = 30.0


@contextlib.contextmanager
def ends_when_silent(minutes: float | None, folder: Path) -> Iterator[Callable[[], None]]:
    """End this process when it has been silent for so long; yields what a sign of life calls.

    The stack of every thread goes into the trial's log, the reason into its death.json.

    Args:
        minutes: None waits for ever.
        folder: the trial's.
    """
    if not minutes:
        yield lambda: None
        return
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        watch = _Watch(minutes, folder, log)
        watch.alive()
        thread = threading.Thread(target=watch.run, name="silence", daemon=True)
        thread.start()
        try:
            yield watch.alive
        finally:
            watch.done.set()
            faulthandler.cancel_dump_traceback_later()


class _Watch:
    def __init__(self, minutes: float, folder: Path, log: TextIO) -> None:
        self._minutes, self._folder, self._log = minutes, folder, log
        self._deadline = 0.0
        self.done = threading.Event()

    def alive(self) -> None:
        """Wait anew."""
        self._deadline = time.monotonic() + 60 * self._minutes
        faulthandler.dump_traceback_later(60 * self._minutes + GRACE_SECONDS, exit=True, file=self._log)

    def run(self) -> None:
        """Wait for the deadline, which moves, or for the attempt's end."""
        while (left := self._deadline - time.monotonic()) > 0:
            if self.done.wait(min(left, threading.TIMEOUT_MAX)):
                return
        if self.done.is_set():
            return
        with contextlib.suppress(OSError):
            write_death(self._folder, reason := f"no report for {self._minutes:g} minutes")
            self._log.write(f"{reason}:\n")
            self._log.flush()
            faulthandler.dump_traceback(file=self._log, all_threads=True)
        os._exit(1)
