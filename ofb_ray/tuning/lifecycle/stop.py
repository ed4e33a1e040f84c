"""The end of a sweep before its trials are done: by SIGINT or SIGTERM, a full disk, a store that is gone."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Stop:
    """Turn SIGINT and SIGTERM into an orderly end; a second signal acts as usual. Use as a context manager."""

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

    def set(self, reason: str) -> None:
        """End the sweep for a reason that is no signal; the first one counts."""
        self.reason = self.reason or reason
        self._set = True

    def is_set(self) -> bool:
        """Whether the sweep is to end."""
        return self._set
