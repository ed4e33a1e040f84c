"""Keep results in an object store: a URI beside its local copy.

A location is a folder (local or NFS) or a URI: `s3://bucket/path`, `gs://bucket/path`, `file:///path`. Everything else
in ofb_ray works on folders. A URI is therefore worked on through a local copy: what is small (specs, the study,
records) is copied, what is large stays where it is.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ParamSpec, TypeVar

from filelock import FileLock

from ofb_ray.errors import InputError
from ofb_ray.inputs import user_path
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.clients import open_objects
from ofb_ray.results.files import ANALYSIS_FOLDER, INDEX_FILE, LOGGER_FOLDER, SHARED_FOLDER
from ofb_ray.results.locations import is_uri, local_copy
from ofb_ray.results.objects import Stored, Version
from ofb_ray.results.outage import explain, within

# A store that has not answered once for so long cannot be reached.
CONTACT_SECONDS = 20.0
# What readers and drivers need of a trial; weights and checkpoints stay in the store.
_SMALL = (".json", ".yaml", ".journal")
_LARGE_FOLDERS = (SHARED_FOLDER, LOGGER_FOLDER, ANALYSIS_FOLDER)
T = TypeVar("T")
Given = ParamSpec("Given")


def readable(location: str | Path) -> Path:
    """Return a folder with the small files of the results folder `location`; a path comes back as it is.

    It does not exist where there is nothing under the URI.

    Raises:
        InputError: the URI cannot be read.
    """
    if not is_uri(str(location)):
        return user_path(location)
    remote, folder = Remote(str(location)), local_copy(str(location), "read")
    if not folder.exists() and not remote.small():
        return folder  # a dry run, or a mistyped URI, creates nothing
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        remote.fetch_small(folder)
    return folder


def fetched(location: str | Path, names: Iterable[str]) -> Path:
    """Return a folder with files of the folder `location`; a path comes back as it is.

    Raises:
        InputError: the URI cannot be read.
    """
    if not is_uri(str(location)):
        return user_path(location)
    remote, folder = Remote(str(location)), local_copy(str(location), "files")
    try:
        remote.download(folder, names)
    except OSError as error:
        raise InputError(f"cannot read {location}: {explain(error)}") from None
    return folder


class Remote:
    """The files under a URI, by their path relative to it.

    The first request may take `CONTACT_SECONDS` and can be interrupted; later ones are tried again by the client.

    Raises:
        InputError: no store is known for the URI.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._objects = open_objects(uri)
        self._met = False

    def check_writable(self) -> None:
        """Write a small file twice, the second time only if there is none, and remove it.

        Raises:
            InputError: the store does not answer, refuses, or writes what it must not.
        """
        name = f".probe-{uuid.uuid4().hex}"
        try:
            self.write(name, b"")
            fenced = self.replace(name, b"again", None) is None
            self.delete(name)
        except OSError as error:
            raise InputError(f"cannot write to {self.uri}: {explain(error)}", key="storage") from None
        if not fenced:
            raise InputError(
                f"{self.uri} does not honour conditional writes (If-None-Match), so two drivers could not be kept "
                "apart: use a server that does, or a folder",
                key="storage",
            )

    def list(self, below: str = "") -> dict[str, Stored]:
        """List all files below a relative path, which need not exist.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        return self._first(self._objects.list, below)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return self._first(self._objects.exists, name)

    def read(self, name: str) -> bytes | None:
        """Read the file, or return None where there is none."""
        found = self.read_version(name)
        return found[0] if found else None

    def read_version(self, name: str) -> tuple[bytes, Version] | None:
        """Read the file and what tells its version, or return None where there is none."""
        try:
            return self._first(self._objects.read, name)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; a reader sees the old one or the new one."""
        self._first(self._objects.write, name, data)

    def replace(self, name: str, data: bytes, version: Version | None) -> Version | None:
        """Write a file if it still has this version, or if there is none where that is None.

        Returns:
            Its new version, None where somebody else was faster.
        """
        return self._first(self._objects.replace, name, data, version)

    def delete(self, name: str) -> None:
        """Remove a file if it is there."""
        self._first(self._objects.delete, name)

    def upload(self, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a local folder, in this order; one that is not there is passed over."""
        for name in names:
            if (folder / name).is_file():
                self._first(self._objects.upload, name, folder / name)

    def download(self, folder: Path, names: Iterable[str]) -> None:
        """Copy files into a local folder, each atomically; one that is not there is passed over."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._first(self._objects.download, name, folder / name)

    def small(self) -> dict[str, Stored]:
        """List the small files.

        Raises:
            InputError: the store does not answer, or refuses.
        """
        try:
            return {name: stored for name, stored in self.list().items() if _is_small(name)}
        except OSError as error:
            raise InputError(f"cannot read {self.uri}: {explain(error)}", key="storage") from None

    def fetch_small(self, folder: Path) -> None:
        """Make a local folder's small files those of the store: new ones are copied, vanished ones removed.

        Raises:
            InputError: the store does not answer, or refuses.
        """
        found = {name: [stored.size, stored.time, stored.tag] for name, stored in self.small().items()}
        try:
            known = read_store_index(folder)
            changed = [n for n, entry in found.items() if known.get(n) != entry or not (folder / n).exists()]
            self.download(folder, changed)
        except OSError as error:
            raise InputError(f"cannot read {self.uri}: {explain(error)}", key="storage") from None
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            name = path.relative_to(folder).as_posix()
            if _is_small(name) and name not in found and name != INDEX_FILE:
                path.unlink()
        for path in folder.iterdir():
            if path.is_dir() and path.name.isdigit() and not any(path.iterdir()):
                path.rmdir()
        write_atomic(folder / INDEX_FILE, json.dumps(found).encode())

    def _first(self, action: Callable[Given, T], *given: Given.args, **named: Given.kwargs) -> T:
        """Do it; as long as the store has not answered once, in bounded time."""
        if self._met:
            return action(*given, **named)
        try:
            result = within(CONTACT_SECONDS, lambda: action(*given, **named))
        except FileNotFoundError:
            self._met = True
            raise
        self._met = True
        return result


def read_store_index(folder: Path) -> dict[str, list[float | str]]:
    """Read what the store held when its local copy was made: size, time and tag of each small file, by its path.

    Empty where the folder is no copy, or its index is torn.
    """
    try:
        found: dict[str, list[float | str]] = json.loads((folder / INDEX_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _is_small(name: str) -> bool:
    return name.endswith(_SMALL) and not name.startswith(tuple(f"{folder}/" for folder in _LARGE_FOLDERS))
