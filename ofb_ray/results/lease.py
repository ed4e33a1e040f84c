"""Who works on what in an object store, which has no locks: files that their holders keep renewing."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from ofb_ray.results.store import Remote

LEASE_VARIABLE = "OFB_RAY_LEASE_SECONDS"


class Lease:
    """A file in the store that one process keeps renewing: the lock of a place without locks.

    A holder that died stops renewing. Whoever wants the lease watches it for `seconds`; unchanged, it is free. Clocks
    are not compared. Two that take it in one moment are told apart by reading it again after a second.

    Args:
        remote: the store; name: of the file.
    """

    def __init__(self, remote: Remote, name: str, seconds: float | None = None) -> None:
        self._remote, self._name = remote, name
        self._seconds = float(os.environ.get(LEASE_VARIABLE, "60")) if seconds is None else seconds
        self._me = {"id": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid()}
        self._beat = 0
        self._stop, self.lost = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def holder(self) -> dict[str, Any] | None:
        """Who has it, as its file says, whether alive or not."""
        data = self._remote.read(self._name)
        try:
            return dict(json.loads(data)) if data else None
        except ValueError:
            return None

    def acquire(self, alive: Callable[[dict[str, Any]], None] | None = None) -> bool:
        """Take the lease, after watching its holder for as long as it may be silent; False: the holder is alive.

        Args:
            alive: called once where there is a holder that has to be watched.
        """
        seen, end, told = self.holder(), time.monotonic() + self._seconds, False
        while seen is not None and not _dead(seen) and time.monotonic() < end:
            if alive is not None and not told:
                alive(seen)
                told = True
            time.sleep(min(1.0, self._seconds / 10))
            now = self.holder()
            if now is not None and now != seen:
                return False
            seen = now
        self.take()
        if seen is not None or told:
            time.sleep(min(1.0, self._seconds / 10))
            if not self.mine():
                self.release(leave=True)
                return False
        return True

    def take(self) -> None:
        """Write it, whoever had it, and keep renewing it until `release`."""
        self._write()
        self._stop.clear()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def mine(self) -> bool:
        """Whether the store still says that this process has it."""
        holder = self.holder()
        return holder is not None and holder.get("id") == self._me["id"]

    def release(self, leave: bool = False) -> None:
        """Stop renewing; the file goes, unless it is someone else's or is to stay."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):
            if not leave and not self.lost.is_set() and self.mine():
                self._remote.delete(self._name)

    def _write(self) -> None:
        self._beat += 1
        self._remote.write(self._name, json.dumps({**self._me, "beat": self._beat, "time": time.time()}).encode())

    def _renew(self) -> None:
        while not self._stop.wait(self._seconds / 4):
            try:
                if not self.mine():
                    self.lost.set()
                    return
                self._write()
            except OSError:
                continue  # an outage: the next beat tells


def _dead(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is gone."""
    if holder.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(holder.get("pid", 0)), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False
