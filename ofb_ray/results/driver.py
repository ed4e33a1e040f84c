"""Where a sweep's driver works: its results folder, or the local copy of a URI, which it keeps equal to the store."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ofb_ray.errors import InputError
from ofb_ray.results import folder as results_of
from ofb_ray.results.files import (
    ATTEMPTS_FILE,
    DEATH_FILE,
    DRIVER_LEASE,
    GATE_FILE,
    JOURNAL_FILE,
    LOG_FILE,
    LOGGER_FOLDER,
    PROGRESS_FILE,
    RECORD_FILE,
    SWEEP_FILE,
    TRIAL_FILE,
    trial_folder,
    trial_name,
)
from ofb_ray.results.lease import Lease
from ofb_ray.results.outage import explain, patiently
from ofb_ray.results.store import Remote


class Place:
    """A results folder. A store's files are fetched before they are read and sent after they are written.

    Args:
        results: the folder.
        remote: the store whose copy it is, if any; lease: the driver's in it.
    """

    def __init__(self, results: Path, remote: Remote | None = None, lease: Lease | None = None) -> None:
        self.results, self.remote, self._lease = results, remote, lease
        self.note: Callable[[str], None] = print

    @property
    def uri(self) -> str | None:
        """Of the store, None for a folder."""
        return self.remote.uri if self.remote else None

    @property
    def lost(self) -> bool:
        """Another driver has taken the sweep."""
        return self._lease is not None and self._lease.lost.is_set()

    def issued(self, number: int) -> None:
        """Trial `number` is about to be handed out."""
        (trial_folder(self.results, number) / DEATH_FILE).unlink(missing_ok=True)  # a store's may be gone since
        self._send(f"{trial_name(number)}/{TRIAL_FILE}", JOURNAL_FILE, SWEEP_FILE)

    def ended(self, number: int) -> None:
        """Trial `number` has ended on some node: fetch what it left."""
        if self.remote is not None:
            remote, names = self.remote, (RECORD_FILE, PROGRESS_FILE, LOG_FILE, ATTEMPTS_FILE, GATE_FILE, DEATH_FILE)
            patiently(
                lambda: remote.download(self.results, [f"{trial_name(number)}/{name}" for name in names]), self.note
            )

    def closed(self, number: int) -> None:
        """The study has been told of trial `number`."""
        self._send(*(f"{trial_name(number)}/{name}" for name in (PROGRESS_FILE, LOG_FILE, RECORD_FILE)), JOURNAL_FILE)

    def finish(self) -> None:
        """Send what the trackers left."""
        found = [path for path in (self.results / LOGGER_FOLDER).rglob("*") if path.is_file()]
        self._send(*(path.relative_to(self.results).as_posix() for path in found))

    def _send(self, *names: str) -> None:
        if self.remote is not None:
            remote = self.remote
            patiently(lambda: remote.upload(self.results, names), self.note)


@contextlib.contextmanager
def driving(results: Path, uri: str | None = None) -> Iterator[Place]:
    """The place of the one process that drives the sweep. What bad input created is removed again.

    Raises:
        InputError: another process drives it; the folder or the store cannot be written.
    """
    created = not results.exists()
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = results_of.driver_lock(results)
    except OSError as error:
        raise InputError(
            f"cannot write to {results} ({error.strerror}): free space, or give another folder", key="storage"
        ) from None
    lease: Lease | None = None
    try:
        remote = Remote(uri) if uri else None
        if remote is not None:
            remote.check_writable()
            lease = _lease(remote)
            remote.fetch_small(results)
        yield Place(results, remote, lease)
    except InputError:
        if created:
            shutil.rmtree(results)
        raise
    finally:
        if lease is not None:
            lease.release()
        lock.release()


def _lease(remote: Remote) -> Lease:
    lease = Lease(remote, DRIVER_LEASE)

    def watch(holder: dict[str, Any]) -> None:
        who = f"process {holder.get('pid')} on {holder.get('host')}"
        print(f"{who} drove this sweep: watching for a minute whether it still does", flush=True)

    try:
        if lease.acquire(watch):
            return lease
        holder = lease.holder() or {}
    except OSError as error:
        raise InputError(f"cannot write to {remote.uri}: {explain(error)}", key="storage") from None
    raise InputError(
        f"another process drives the sweep in {remote.uri} (process {holder.get('pid')} on {holder.get('host')}): "
        f"wait for it (`ofb-ray status {remote.uri}`), or give --name"
    )
