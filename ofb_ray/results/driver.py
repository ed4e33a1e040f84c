"""Hold a sweep's results for the one process that drives it: a folder, or the local copy of a URI, kept equal to it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ofb_ray.errors import InputError
from ofb_ray.results import folder as results_of
from ofb_ray.results.atomic import write_json
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
    LeaseFile,
    trial_folder,
    trial_name,
)
from ofb_ray.results.lease import Lease, new_holder
from ofb_ray.results.outage import explain, patiently
from ofb_ray.results.store import Remote

# What an attempt leaves that its driver reads.
_LEFT = (RECORD_FILE, PROGRESS_FILE, LOG_FILE, ATTEMPTS_FILE, GATE_FILE, DEATH_FILE)


class SweepResults:
    """Keep a results folder and the store whose copy it is equal: fetch before reading, send after writing.

    Args:
        folder: the results folder.
        remote: the store whose copy it is, if any.
        lease: the driver's lease in the store.
    """

    def __init__(self, folder: Path, remote: Remote | None = None, lease: Lease | None = None) -> None:
        self.folder, self.remote, self._lease = folder, remote, lease
        self.note: Callable[[str], None] = print

    @property
    def uri(self) -> str | None:
        """The store's URI, None for a folder."""
        return self.remote.uri if self.remote else None

    @property
    def lost(self) -> bool:
        """Whether another driver has taken the sweep."""
        return self._lease is not None and self._lease.lost.is_set()

    def send_issued(self, number: int) -> None:
        """Send what a worker needs of trial `number`, which is about to be handed out."""
        (trial_folder(self.folder, number) / DEATH_FILE).unlink(missing_ok=True)  # a store's may be gone since
        self._send(f"{trial_name(number)}/{TRIAL_FILE}", JOURNAL_FILE, SWEEP_FILE)

    def fetch_ended(self, number: int) -> None:
        """Fetch what trial `number` left on the node where it ended."""
        if self.remote is not None:
            remote = self.remote
            names = [f"{trial_name(number)}/{name}" for name in _LEFT]
            patiently(lambda: remote.download(self.folder, names), self.note)

    def send_closed(self, number: int) -> None:
        """Send what the driver wrote when it closed trial `number`."""
        self._send(*(f"{trial_name(number)}/{name}" for name in (PROGRESS_FILE, LOG_FILE, RECORD_FILE)), JOURNAL_FILE)

    def send_logs(self) -> None:
        """Send what the trackers left."""
        found = [path for path in (self.folder / LOGGER_FOLDER).rglob("*") if path.is_file()]
        self._send(*(path.relative_to(self.folder).as_posix() for path in found))

    def _send(self, *names: str) -> None:
        if self.remote is not None:
            if self.lost:
                raise OSError("another driver has taken this sweep")
            remote = self.remote
            patiently(lambda: remote.upload(self.folder, names), self.note)


@contextlib.contextmanager
def drive(results: Path, uri: str | None = None, command: str = "") -> Iterator[SweepResults]:
    """Lock a sweep's results for the one process that drives it. What bad input created is removed again.

    Args:
        results: the results folder, made if it is missing.
        uri: of which it is the local copy, if any.
        command: what continues the sweep; kept for `ofb-ray status`.

    Raises:
        InputError: another process drives it; the folder or the store cannot be written.
    """
    created = [path for path in (results, *results.parents) if not path.exists()]
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = results_of.driver_lock(results)
    except OSError as error:
        raise InputError(
            f"cannot write to {results} ({error.strerror}): free space, or give another folder", key="storage"
        ) from None
    lease: Lease | None = None
    mine: LeaseFile | None = None
    try:
        remote = Remote(uri) if uri else None
        if remote is not None:
            remote.check_writable()
            lease = _take_lease(remote, command)
            remote.fetch_small(results)
        else:
            mine = new_holder(command)
            with contextlib.suppress(OSError):  # a full disk is told by what comes next, which cannot do without
                write_json(results / DRIVER_LEASE, mine.model_dump())
        yield SweepResults(results, remote, lease)
    except InputError:
        if created:
            shutil.rmtree(results)
        for path in created[1:]:
            with contextlib.suppress(OSError):  # somebody else has put something into it
                path.rmdir()
        raise
    finally:
        if lease is not None:
            lease.release()
        if mine is not None and results.exists():
            with contextlib.suppress(OSError):  # a full disk: the next driver writes its own
                write_json(results / DRIVER_LEASE, {**mine.model_dump(), "id": ""})
        lock.release()


def _take_lease(remote: Remote, command: str) -> Lease:
    lease = Lease(remote, DRIVER_LEASE, command=command)

    def watch(holder: LeaseFile) -> None:
        who = f"process {holder.pid} on {holder.host}"
        print(f"{who} drove this sweep: watching for a minute whether it still does", flush=True)

    try:
        if lease.acquire(watch):
            return lease
        holder = lease.holder() or LeaseFile()
    except OSError as error:
        raise InputError(f"cannot write to {remote.uri}: {explain(error)}", key="storage") from None
    raise InputError(
        f"another process drives the sweep in {remote.uri} (process {holder.pid} on {holder.host}): "
        f"wait for it (`ofb-ray status {remote.uri}`), or give --name"
    )
