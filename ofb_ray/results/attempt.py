"""Lock the files of a trial for one attempt, so that only one process writes them, and keep them in a URI's store.

Where the results are a folder, that folder is worked in and a file lock is the fence. Where they are a URI, each node
works in a copy of its own: an attempt fetches the trial's files, sends them back as it goes on, and holds a lease in
the store, so that a worker which the network cut off notices that another has taken its trial and writes no more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from ofb_ray.results.files import (
    ARCH_FILE,
    DENSE_FILE,
    LEASE_FILE,
    PROMISE_FILE,
    RECORD_FILE,
    SHARED_FOLDER,
    STATE_FILE,
    TRIAL_LOCK,
    WEIGHTS_FILE,
)
from ofb_ray.results.lease import Lease
from ofb_ray.results.outage import explain, patiently
from ofb_ray.results.store import Remote

LOCK_SECONDS = 300
# A checkpoint of a small network is written more often than it is worth sending.
SEND_SECONDS = 10.0
GLANCE_SECONDS = 1.0
_LAST = (WEIGHTS_FILE, ARCH_FILE, RECORD_FILE)
_POLL_SECONDS = 5.0


class SupersededError(Exception):
    """Another attempt has taken this trial; this one must write no more."""


@contextlib.contextmanager
def attempt(
    folder: Path,
    note: Callable[[str], None],
    *,
    uri: str | None = None,
    dense_key: str = "",
    search: str = "",
    above: str = "",
) -> Iterator[Attempt]:
    """Take a trial's lock, in a store its lease too, and fetch its files from there.

    Args:
        folder: the trial's on this node, made if it is missing.
        note: writes a line into the trial's log.
        uri: of the store that holds the results, if one does.
        dense_key: of the dense network that the trial starts from; only a store needs it.
        search: folder below shared/ in which the trial leaves its search for others; empty: it leaves none.
        above: folder below shared/ of the search that this one goes on from; empty: there is none.
    Raises:
        TimeoutError: a process of this node keeps the trial's lock.
        SupersededError: another attempt has taken the trial.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / TRIAL_LOCK, timeout=LOCK_SECONDS):
        if not uri:
            yield Attempt(folder, note)
            return
        files = RemoteAttempt(folder, note, uri, dense_key, search, above)
        try:
            files.fetch()
            yield files
        finally:
            files.close()


class Attempt:
    """An attempt in a results folder: its files are where they belong."""

    def __init__(self, folder: Path, note: Callable[[str], None]) -> None:
        self.folder, self.note = folder, note

    def discard(self, name: str) -> None:
        """Remove a file of the trial that an earlier attempt may have left."""
        (self.folder / name).unlink(missing_ok=True)

    def saved(self, now: bool = False) -> None:
        """Send what changed: an epoch is done and its checkpoint is on the disk; `now`: the attempt may be over."""

    def decided(self) -> None:
        """Send a decision that is on the disk, before it takes effect."""

    def finished(self) -> None:
        """Send the record, which is on the disk, and all before it."""


class RemoteAttempt(Attempt):
    """An attempt whose files belong to a store."""

    def __init__(
        self, folder: Path, note: Callable[[str], None], uri: str, dense_key: str, search: str = "", above: str = ""
    ) -> None:
        super().__init__(folder, note)
        self._search, self._above = (f"{SHARED_FOLDER}/{name}" if name else "" for name in (search, above))
        self._results, self._remote = folder.parent, Remote(uri)
        self._trial = folder.name
        self._dense = f"{SHARED_FOLDER}/{dense_key}"
        self._lease = Lease(self._remote, f"{self._trial}/{LEASE_FILE}")
        self._dense_lease = Lease(self._remote, f"{self._dense}/{LEASE_FILE}")
        self._holds_dense = False
        self._sent: dict[str, tuple[int, int]] = {}
        self._next = self._next_glance = 0.0

    def fetch(self) -> None:
        """Take the trial, and make the files here those of the store; wait while another node trains the dense one."""
        patiently(self._lease.take, self.note)
        patiently(self._fetch_trial, self.note)
        patiently(self._fetch_dense, self.note)
        patiently(self._fetch_above, self.note)

    def discard(self, name: str) -> None:
        """Remove a file of the trial here and in the store."""
        self._check_fence()
        patiently(lambda: self._remote.delete(f"{self._trial}/{name}"), self.note)
        self._sent.pop(f"{self._trial}/{name}", None)
        super().discard(name)

    def saved(self, now: bool = False) -> None:
        """Send what changed, now and then; an outage is left to the next time.

        Raises:
            SupersededError: see there.
        """
        if self._dense_lease.lost.is_set():
            self._holds_dense = False  # another node trains it, too: equal seeds, equal networks
        done = (self._results / self._dense / DENSE_FILE).exists()
        if time.monotonic() < self._next and not now and not (done and self._holds_dense):
            self._glance()
            return
        try:
            self._send()
            if done and self._holds_dense:
                self._remote.delete(f"{self._dense}/{STATE_FILE}")
                self._release_dense()
        except OSError as error:
            self.note(f"the checkpoint was not sent: {explain(error)}")
        self._next = time.monotonic() + SEND_SECONDS

    def decided(self) -> None:
        """Send everything.

        Raises:
            OSError, SupersededError: see `finished`.
        """
        patiently(self._send, self.note)

    def finished(self) -> None:
        """Send everything, the record last; then the checkpoint is of no more use.

        Raises:
            OSError: the store did not answer for ten minutes.
            SupersededError: see there.
        """
        patiently(self._send, self.note)
        patiently(lambda: self._remote.delete(f"{self._trial}/{STATE_FILE}"), self.note)
        if (promise := f"{self._trial}/{PROMISE_FILE}") in self._sent:
            patiently(lambda: self._remote.delete(promise), self.note)

    def close(self) -> None:
        """Give the leases back."""
        self._release_dense()
        self._lease.release()

    def _fetch_trial(self) -> None:
        stored = self._remote.list(self._trial)
        if f"{self._trial}/{RECORD_FILE}" in stored:
            stored = {f"{self._trial}/{RECORD_FILE}": stored[f"{self._trial}/{RECORD_FILE}"]}
        for path in self.folder.iterdir():
            if path.is_file() and path.name != TRIAL_LOCK and f"{self._trial}/{path.name}" not in stored:
                path.unlink()
        wanted = [name for name in stored if not name.endswith((LEASE_FILE, ".safetensors"))]
        self._remote.download(self._results, wanted)
        self._mark(wanted)

    def _fetch_dense(self) -> None:
        told = False
        while True:
            stored = self._remote.list(self._dense)
            if f"{self._dense}/{DENSE_FILE}" in stored or self._holds_dense:
                break
            self._holds_dense = self._dense_lease.acquire()
            if self._holds_dense:
                continue  # the holder before may have finished in the meantime
            if not told:
                self.note("another node trains the dense network")
                told = True
            time.sleep(_POLL_SECONDS)
        if f"{self._dense}/{DENSE_FILE}" in stored:
            self._release_dense()
            if (self._results / self._dense / DENSE_FILE).exists():
                return
        wanted = sorted((name for name in stored if not name.endswith(LEASE_FILE)), key=_order)
        self._remote.download(self._results, wanted)
        self._mark(wanted)

    def _fetch_above(self) -> None:
        """Fetch the search to go on from; one that the store lacks is searched again."""
        if self._above and not (self._results / self._above / STATE_FILE).exists():
            self._remote.download(self._results, sorted(self._remote.list(self._above)))

    def _glance(self) -> None:
        """Look after an epoch whether another attempt has the trial; not each second, and not while there is an outage.

        Raises:
            SupersededError: see there.
        """
        self._check_fence()
        if time.monotonic() < self._next_glance:
            return
        try:
            self._check_fence(ask=True)
            self._next_glance = time.monotonic() + GLANCE_SECONDS
        except OSError:
            self._next_glance = time.monotonic() + SEND_SECONDS

    def _check_fence(self, ask: bool = False) -> None:
        """Write no more once another attempt has the trial: its lease's thread tells, `ask` asks the store itself.

        Raises:
            SupersededError: see there.
        """
        if self._lease.lost.is_set() or (ask and not self._lease.mine()):
            raise SupersededError(f"another attempt has taken trial {self._trial}")

    def _send(self) -> None:
        self._check_fence(ask=True)
        for name in sorted(self._files(), key=_order):
            path = self._results / name
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                if self._sent.get(name) != (stat.st_mtime_ns, stat.st_size):
                    # What was written before may have taken minutes.
                    self._check_fence(ask=path.name == RECORD_FILE)
                    if path.name == RECORD_FILE and self._remote.exists(name):
                        continue  # a record never changes
                    self._remote.upload(self._results, [name])
                    self._sent[name] = (stat.st_mtime_ns, stat.st_size)

    def _files(self) -> list[str]:
        folders = [
            self._trial,
            *([self._dense] if self._holds_dense else []),
            *([self._search] if self._search else []),
        ]
        found = [path for name in folders for path in (self._results / name).glob("*") if path.is_file()]
        own = [path for path in found if not path.name.startswith(".") and path.name != LEASE_FILE]
        return [path.relative_to(self._results).as_posix() for path in own]

    def _mark(self, names: list[str]) -> None:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                stat = (self._results / name).stat()
                self._sent[name] = (stat.st_mtime_ns, stat.st_size)

    def _release_dense(self) -> None:
        if self._holds_dense:
            self._dense_lease.release()
        self._holds_dense = False


def _order(name: str) -> tuple[bool, int, str]:
    """Sort what completes a set of files last: `dense.json` after the weights it tells of, the record after all."""
    base = name.rpartition("/")[2]
    return base == DENSE_FILE, _LAST.index(base) if base in _LAST else -1, name
