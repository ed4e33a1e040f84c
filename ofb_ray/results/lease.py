"""Lock things in an object store, which has no locks, by files that their holders keep renewing."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable

from ofb_ray.results.files import LeaseFile
from ofb_ray.results.store import Remote

LEASE_VARIABLE = "OFB_RAY_LEASE_SECONDS"
# Longer than any writer takes from its last look to the end of its write; who wrote last has the lease after that.
_SETTLE_SECONDS = 1.0


class Lease:
    """Hold a file in the store that only one process may hold, by renewing it.

    A holder that died stops renewing. Whoever wants the lease watches it for `seconds`; unchanged, it is free. Clocks
    are not compared. Two that take it in one moment are told apart by reading it again after a second.

    Args:
        remote: the store.
        name: of the file, relative to the store.
        seconds: how long a holder may be silent; default: the environment's, else 60.
    """

    def __init__(self, remote: Remote, name: str, seconds: float | None = None) -> None:
        self._remote, self._name = remote, name
        self._seconds = float(os.environ.get(LEASE_VARIABLE, "60")) if seconds is None else seconds
        self._me = LeaseFile(id=uuid.uuid4().hex, host=socket.gethostname(), pid=os.getpid())
        self._beat = 0
        self._stop, self.lost = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def holder(self) -> LeaseFile | None:
        """Return who has it, as its file says, whether alive or not."""
        data = self._remote.read(self._name)
        try:
            return LeaseFile.model_validate_json(data) if data else None
        except ValueError:
            return None

    def acquire(self, alive: Callable[[LeaseFile], None] | None = None) -> bool:
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
        if self.holder() != seen:  # somebody else took it since the last look
            return False
        self.take()
        if seen is not None or told:
            time.sleep(min(_SETTLE_SECONDS, self._seconds / 2))
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
        return holder is not None and holder.id == self._me.id

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
        renewed = self._me.model_copy(update={"beat": self._beat, "time": time.time()})
        self._remote.write(self._name, renewed.model_dump_json().encode())

    def _renew(self) -> None:
        while not self._stop.wait(self._seconds / 4):
            try:
                if not self.mine():
                    self.lost.set()
                    return
                self._write()
            except OSError:
                continue  # an outage: the next beat tells


def _dead(holder: LeaseFile) -> bool:
    """Whether the holder was a process of this machine that is gone."""
    if holder.host != socket.gethostname():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
