"""Read and write the objects of a store, whole and on condition: S3, Google Cloud Storage, or a folder of this machine.

A condition is what a lock is made of: of several writers who saw the same version of an object, exactly one replaces
it. S3 and its like decide that by `If-Match` and `If-None-Match`, Google by generations, a folder by a file lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock

from ofb_ray.results.atomic import write_atomic

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# Of a folder: who replaces a file on condition holds it.
_LOCK = ".store.lock"
# What tells one version of an object from all others; the store's own.
Version = Mapping[str, str]


@dataclass(frozen=True)
class Stored:
    """An object in the store: its size in bytes, when it was written, and a tag of its content."""

    size: int
    time: float
    tag: str = ""


class Objects(Protocol):
    """Objects by their path below a root. Errors are OSErrors, FileNotFoundError where there is no such object."""

    def list(self, below: str) -> dict[str, Stored]:
        """List all objects below a relative path, which need not exist."""

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""

    def read(self, name: str) -> tuple[bytes, Version]:
        """Read an object and its version."""

    def write(self, name: str, data: bytes) -> None:
        """Write a whole object; a reader sees the old one or the new one."""

    def replace(self, name: str, data: bytes, version: Version | None) -> Version | None:
        """Write an object if it still has this version, or if there is none where that is None.

        Returns:
            Its new version, None where somebody else was faster.
        """

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""

    def upload(self, name: str, source: Path) -> None:
        """Copy a file into the store."""

    def download(self, name: str, target: Path) -> None:
        """Copy an object to a file, which is there whole or not at all."""


class FolderObjects:
    """The files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self, below: str) -> dict[str, Stored]:
        found = {}
        for path in (self._root / below).rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # it may be removed meanwhile
                if path.is_file():
                    stat = path.stat()
                    found[path.relative_to(self._root).as_posix()] = Stored(stat.st_size, stat.st_mtime_ns / 1e9)
        return found

    def exists(self, name: str) -> bool:
        return (self._root / name).is_file()

    def read(self, name: str) -> tuple[bytes, Version]:
        data = (self._root / name).read_bytes()
        return data, _digest(data)

    def write(self, name: str, data: bytes) -> None:
        write_atomic(self._root / name, data)

    def replace(self, name: str, data: bytes, version: Version | None) -> Version | None:
        path = self._root / name
        self._root.mkdir(parents=True, exist_ok=True)
        with FileLock(self._root / _LOCK):
            try:
                found: Version | None = self.read(name)[1]
            except FileNotFoundError:
                found = None
            if found != version:
                return None
            write_atomic(path, data)
        return _digest(data)

    def delete(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def upload(self, name: str, source: Path) -> None:
        self.write(name, source.read_bytes())

    def download(self, name: str, target: Path) -> None:
        with _whole(target) as temporary:
            shutil.copyfile(self._root / name, temporary)


class CloudObjects:
    """The objects of a bucket below a prefix.

    Args:
        store: obstore's, at the prefix.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def list(self, below: str) -> dict[str, Stored]:
        import obstore

        with _os_errors():
            found = [entry for chunk in obstore.list(self._store, below or None) for entry in chunk]
        return {
            entry["path"]: Stored(entry["size"], entry["last_modified"].timestamp(), entry["e_tag"] or "")
            for entry in found
        }

    def exists(self, name: str) -> bool:
        import obstore

        try:
            with _os_errors():
                obstore.head(self._store, name)
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str) -> tuple[bytes, Version]:
        import obstore

        with _os_errors():
            found = obstore.get(self._store, name)
            return bytes(found.bytes()), _version(found.meta)

    def write(self, name: str, data: bytes) -> None:
        import obstore

        with _os_errors():
            obstore.put(self._store, name, data)

    def replace(self, name: str, data: bytes, version: Version | None) -> Version | None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if version is None else dict(version)
        with _os_errors():
            try:
                return _version(obstore.put(self._store, name, data, mode=mode))
            except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            except Exception as error:
                if "ConditionalRequestConflict" in str(error):  # S3: another conditional write was under way
                    return None
                raise

    def delete(self, name: str) -> None:
        import obstore

        with contextlib.suppress(FileNotFoundError), _os_errors():
            obstore.delete(self._store, name)

    def upload(self, name: str, source: Path) -> None:
        import obstore

        with _os_errors():
            obstore.put(self._store, name, source)

    def download(self, name: str, target: Path) -> None:
        import obstore

        with _os_errors(), _whole(target) as temporary, temporary.open("wb") as file:
            for chunk in obstore.get(self._store, name).stream():
                file.write(chunk)


def _digest(data: bytes) -> Version:
    return {"e_tag": hashlib.sha256(data).hexdigest()}


def _version(meta: Mapping[str, Any]) -> Version:
    return {key: meta[key] for key in ("e_tag", "version") if meta.get(key)}


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """Yield a neighbour to write into, which takes the target's place at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    """Turn obstore's errors, which are none of the system's, into OSErrors of one line."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):  # there is nothing to pass over
            raise OSError(message_of(error)) from None
        raise
    except (BaseError, ValueError) as error:
        raise OSError(message_of(error)) from None


def message_of(error: Exception) -> str:
    """Keep of obstore's error what a user can use: the server's code and message, else the text without its sources."""
    text = str(error).partition("Debug source")[0]
    code = re.search(r"<Code>(.*?)</Code>", text)
    message = re.search(r"<Message>(.*?)</Message>", text)
    if code:
        return f"{code[1]}: {message[1]}" if message else code[1]
    return re.sub(r" in [\d.]+\w+(, after .*?)? +- ", ": ", " ".join(text.split()))
