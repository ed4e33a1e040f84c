"""Let a user's own modules be imported: those of the working directory and those beside a sweep file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_folders: list[str] = []


def make_importable(folder: str | Path) -> None:
    """Let modules in `folder` be imported in this process, after all others."""
    path = os.path.abspath(folder)
    if path not in _folders:
        _folders.append(path)
    if path not in sys.path:
        sys.path.append(path)


def importable_folders() -> tuple[str, ...]:
    """List the folders that this process has made importable, for the processes that it starts."""
    return tuple(_folders)
