"""Read and write results in an object store: a URI beside its local copy.

A location is a folder (local or NFS) or a URI of a filesystem that pyarrow, and so Ray, knows: `s3://bucket/path`,
`gs://bucket/path`, `file:///path`. Everything else in ofb_ray works on folders. A URI is therefore worked on through
a local copy: what is small (specs, the study, records) is copied, what is large stays where it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ofb_ray.errors import InputError
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.files import ANALYSIS_FOLDER, INDEX_FILE, LOGGER_FOLDER, SHARED_FOLDER
from ofb_ray.results.outage import explain, first_line

CACHE_VARIABLE = "OFB_RAY_CACHE"
# What readers and drivers need of a trial; weights and checkpoints stay in the store.
_SMALL = (".json", ".yaml", ".journal")
_LARGE_FOLDERS = (SHARED_FOLDER, LOGGER_FOLDER, ANALYSIS_FOLDER)
_CHUNK = 16 << 20


def is_uri(location: str) -> bool:
    """Whether a location is a URI and not a path."""
    return "://" in location


def join(location: str, name: str) -> str:
    """Return `location/name`; a URI's query (`?endpoint_override=...`) stays at the end."""
    base, mark, query = location.partition("?")
    base = base if base.endswith("://") else base.rstrip("/")
    return f"{base}/{name}{mark}{query}"


def parent(location: str | Path) -> str | Path:
    """Return the location above."""
    if not is_uri(str(location)):
        return Path(location).parent
    base, mark, query = str(location).partition("?")
    return f"{base.rstrip('/').rpartition('/')[0]}{mark}{query}"


def same(one: str | Path, other: str | Path) -> bool:
    """Whether two locations are the same: slashes too many change nothing, and file:///x is the folder /x."""
    return _plain(str(one)) == _plain(str(other))


def _plain(location: str) -> str:
    if not is_uri(location) or location.startswith("file://"):
        return str(Path(location.removeprefix("file://")).expanduser().resolve())
    base, mark, query = location.partition("?")
    scheme, _, path = base.partition("://")
    return f"{scheme}://{'/'.join(part for part in path.split('/') if part)}{mark}{query}"


def local_copy(uri: str, purpose: str = "work") -> Path:
    """Return the folder on this machine that stands for a URI: under `$OFB_RAY_CACHE`, else `~/.cache/ofb_ray`."""
    root = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "ofb_ray").expanduser()
    name = uri.partition("?")[0].rstrip("/").rpartition("/")[2]
    return root / f"{name}-{hashlib.sha256(uri.encode()).hexdigest()[:12]}" / purpose


def readable(location: str | Path) -> Path:
    """Return a folder with the small files of the results folder `location`; a path comes back as it is.

    It does not exist where there is nothing under the URI.

    Raises:
        InputError: the URI cannot be read.
    """
    if not is_uri(str(location)):
        return Path(location)
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
        return Path(location)
    remote, folder = Remote(str(location)), local_copy(str(location), "files")
    try:
        remote.download(folder, names)
    except OSError as error:
        raise InputError(f"cannot read {location}: {explain(error)}") from None
    return folder


@dataclass(frozen=True)
class Stored:
    """A file in the store: its size in bytes and when it was written."""

    size: int
    time: float


class Remote:
    """The files under a URI, by their path relative to it.

    Raises:
        InputError: no filesystem is known for the URI, or it cannot be reached.
    """

    def __init__(self, uri: str) -> None:
        from pyarrow import fs

        self.uri = uri
        try:
            self._fs, self._root = fs.FileSystem.from_uri(uri)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{uri!r} cannot be opened ({first_line(error)}); known are s3://, gs:// and file://, or give a folder",
                key="storage",
            ) from None

    def check_writable(self) -> None:
        """Write and remove a small file.

        Raises:
            InputError: the store does not answer, or refuses.
        """
        name = f".probe-{uuid.uuid4().hex}"
        try:
            self.write(name, b"")
            self.delete(name)
        except OSError as error:
            raise InputError(f"cannot write to {self.uri}: {explain(error)}", key="storage") from None

    def list(self, below: str = "") -> dict[str, Stored]:
        """List all files below a relative path, which need not exist.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        from pyarrow import fs

        selector = fs.FileSelector(self._path(below), recursive=True, allow_not_found=True)
        start = len(self._root.rstrip("/")) + 1
        return {
            info.path[start:]: Stored(info.size, info.mtime_ns / 1e9 if info.mtime_ns else 0.0)
            for info in self._fs.get_file_info(selector)
            if info.type == fs.FileType.File
        }

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        from pyarrow import fs

        return bool(self._fs.get_file_info(self._path(name)).type == fs.FileType.File)

    def read(self, name: str) -> bytes | None:
        """Read the file, or return None where there is none."""
        try:
            with self._fs.open_input_stream(self._path(name)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; a reader sees the old one or the new one."""
        path = self._path(name)
        if self._fs.type_name == "local":
            write_atomic(Path(path), data)
            return
        with self._fs.open_output_stream(path) as stream:
            stream.write(data)

    def delete(self, name: str) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.delete_file(self._path(name))

    def upload(self, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a local folder, in this order; one that is not there is passed over."""
        for name in names:
            try:
                source = (folder / name).open("rb")
            except FileNotFoundError:
                continue
            with source:
                if self._fs.type_name == "local":
                    write_atomic(Path(self._path(name)), source.read())
                    continue
                with self._fs.open_output_stream(self._path(name)) as target:
                    shutil.copyfileobj(source, target, _CHUNK)

    def download(self, folder: Path, names: Iterable[str]) -> None:
        """Copy files into a local folder, each atomically; one that is not there is passed over."""
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
            try:
                with self._fs.open_input_stream(self._path(name)) as source, temporary.open("wb") as file:
                    shutil.copyfileobj(source, file, _CHUNK)
                temporary.replace(target)
            except FileNotFoundError:
                pass
            finally:
                temporary.unlink(missing_ok=True)

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
        found = self.small()
        try:
            known = read_store_index(folder)
            for name, stored in found.items():
                if known.get(name) != [stored.size, stored.time] or not (folder / name).exists():
                    self.download(folder, [name])
        except OSError as error:
            raise InputError(f"cannot read {self.uri}: {explain(error)}", key="storage") from None
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            name = path.relative_to(folder).as_posix()
            if _is_small(name) and name not in found and name != INDEX_FILE:
                path.unlink()
        for path in folder.iterdir():
            if path.is_dir() and path.name.isdigit() and not any(path.iterdir()):
                path.rmdir()
        index = {name: [stored.size, stored.time] for name, stored in found.items()}
        write_atomic(folder / INDEX_FILE, json.dumps(index).encode())

    def _path(self, name: str) -> str:
        root = str(self._root).rstrip("/")
        return f"{root}/{name}" if name else root


def read_store_index(folder: Path) -> dict[str, list[float]]:
    """Read what the store held when its local copy was made: size in bytes and time of each small file, by its path.

    Empty where the folder is no copy, or its index is torn.
    """
    try:
        found: dict[str, list[float]] = json.loads((folder / INDEX_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _is_small(name: str) -> bool:
    return name.endswith(_SMALL) and not name.startswith(tuple(f"{folder}/" for folder in _LARGE_FOLDERS))
