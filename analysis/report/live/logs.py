"""Read the last lines of trials' logs, which are foreign text and may be any kind of file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ofb_ray.errors import printable
from ofb_ray.results.files import LOG_FILE

BYTES, LINES, COLUMNS = 8192, 20, 300


class Logs:
    """The ends of logs; a log that has not changed is not read again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], str]] = {}

    def end_of(self, folder: Path) -> str:
        """Return at most 20 last lines of a trial's log, printable; empty where there is no plain file."""
        path = folder / LOG_FILE
        try:
            # Neither a FIFO, which would keep us waiting, nor a link to another file of the disk.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return ""
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            return ""
        with os.fdopen(descriptor, "rb") as file:
            version = (found.st_size, found.st_mtime_ns)
            if path not in self._known or self._known[path][0] != version:
                file.seek(max(0, found.st_size - BYTES))
                self._known[path] = (version, _last_lines(file.read(BYTES), found.st_size > BYTES))
        return self._known[path][1]


def _last_lines(data: bytes, torn: bool) -> str:
    # A progress bar writes its line again and again: what a terminal would show is behind the last \r.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in data.decode(errors="replace").split("\n")]
    lines = [line.rstrip() for line in lines[1 if torn and len(lines) > 1 else 0 :]]
    return "\n".join(printable(line)[:COLUMNS] for line in [line for line in lines if line][-LINES:])
