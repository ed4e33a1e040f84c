"""SIGINT and SIGTERM end a sweep in order."""

from __future__ import annotations

import signal
import threading
from typing import Any

from ray import tune

from ofb_ray.config import Json


class Stop(tune.Stopper):
    """Turns SIGINT and SIGTERM into an orderly end; a second signal acts as usual. Use as a context manager."""

    def __init__(self) -> None:
        self._set = False
        self.reason = ""
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _handle(self, *_: object) -> None:
        self._set = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}

    def __getstate__(self) -> Json:
        return {}  # Ray pickles what it is given, for a restore that never happens here

    def set(self, reason: str) -> None:
        """End the sweep for a reason that is no signal; the first one counts."""
        self.reason = self.reason or reason
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def __call__(self, trial_id: str, result: Json) -> bool:
        """Called with every report; one that says `stop` ends the sweep, because no other trial would fare better."""
        if result.get("stop"):
            self.set(str(result["message"]))
        return False

    def stop_all(self) -> bool:
        return self._set
