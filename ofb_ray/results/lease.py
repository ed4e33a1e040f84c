"""Lock things in an object store, which has no locks, by files that their holders keep renewing.

Every write of a lease is conditional on the version of the file that its writer has read: of several that take it,
whether nobody has it, its holder is gone or it was given back, exactly one does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable

from ofb_ray.results.files import LeaseFile
from ofb_ray.results.objects import Version
from ofb_ray.results.store import Remote

LEASE_VARIABLE = "OFB_RAY_LEASE_SECONDS"


class Lease:
    """Hold a file in the store that only one process may hold, by renewing it.

    A holder that died stops renewing. Whoever wants the lease watches it for `seconds`; unchanged, it is free. Clocks
    are not compared.

    Args:
        remote: the store.
        name: of the file, relative to the store.
        seconds: how long a holder may be silent; default: the environment's, else 60.
        command: what continues the work of a driver.
    """

    def __init__(self, remote: Remote, name: str, seconds: float | None = None, command: str = "") -> None:
        self._remote, self._name = remote, name
        self._seconds = float(os.environ.get(LEASE_VARIABLE, "60")) if seconds is None else seconds
        self._me = new_holder(command)
        self._beat = 0
        self._version: Version | None = None  # of the file as this process has written it
        self._stop, self.lost = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def holder(self) -> LeaseFile | None:
        """Return who has it, as its file says, whether alive or not."""
        return self._look()[0]

    def acquire(self, alive: Callable[[LeaseFile], None] | None = None) -> bool:
        """Take the lease, after watching its holder for as long as it may be silent; False: the holder is alive.

        Args:
            alive: called once where there is a holder that has to be watched.
        """
        (seen, version), end, told = self._look(), time.monotonic() + self._seconds, False
        while seen is not None and seen.id != self._me.id and not _dead(seen) and time.monotonic() < end:
            if alive is not None and not told:
                alive(seen)
                told = True
            time.sleep(min(1.0, self._seconds / 10))
            now, version = self._look()
            if now is not None and now != seen:
                return False
            seen = now
        return self._try(version)

    def take(self) -> None:
        """Take it from whoever has it."""
        while not self._try(self._look()[1]):
            pass

    def mine(self) -> bool:
        """Whether the store still says that this process has it."""
        holder = self.holder()
        return holder is not None and holder.id == self._me.id

    def release(self) -> None:
        """Stop renewing, and leave the file to the next one, unless it is someone else's already."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):
            if self._version is not None and not self.lost.is_set():
                free = self._me.model_copy(update={"id": "", "time": time.time()})
                self._remote.replace(self._name, free.model_dump_json().encode(), self._version)

    def _look(self) -> tuple[LeaseFile | None, Version | None]:
        """Read who has the lease, None where nobody does, and the version of its file, None where there is none."""
        found = self._remote.read_version(self._name)
        if found is None:
            return None, None
        data, version = found
        try:
            holder = LeaseFile.model_validate_json(data)
        except ValueError:
            return None, version
        return (holder if holder.id else None), version

    def _try(self, version: Version | None) -> bool:
        """Write it if the file still has this version, and keep renewing it until `release`."""
        if not self._write(version):
            return False
        self._stop.clear()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return True

    def _write(self, version: Version | None) -> bool:
        self._beat += 1
        renewed = self._me.model_copy(update={"beat": self._beat, "time": time.time()})
        written = self._remote.replace(self._name, renewed.model_dump_json().encode(), version)
        if written is None:
            holder, now = self._look()
            if holder is None or holder != renewed:
                return False
            written = now  # it did arrive, though its answer was lost and a second try refused
        self._version = written
        return True

    def _renew(self) -> None:
        while not self._stop.wait(self._seconds / 4):
            try:
                holder, version = self._look()
                if holder is None or holder.id != self._me.id or not self._write(version):
                    self.lost.set()
                    return
            except OSError:
                continue  # an outage: the next beat tells


def new_holder(command: str = "") -> LeaseFile:
    """Name this process as a holder that begins now."""
    now = time.time()
    host, pid = socket.gethostname(), os.getpid()
    return LeaseFile(id=uuid.uuid4().hex, host=host, pid=pid, since=now, time=now, command=command)


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
