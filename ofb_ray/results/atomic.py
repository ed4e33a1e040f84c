"""Write files whole: a reader sees the old file or the new one, never a part, even across a power cut."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from ofb_ray.inputs import load_json


def write_atomic(path: Path, data: bytes) -> None:
    """Write bytes to a temporary neighbour, flush it to the disk and rename it over `path`.

    The neighbour's name is random: processes on several machines and threads of one may write the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # half a file on a full disk would keep it full
        raise


def write_json(path: Path, tree: Any) -> None:
    """Write JSON atomically. What is not finite is refused: JSON has no word for it."""
    write_atomic(path, json.dumps(tree, indent=1, allow_nan=False).encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read the mapping in a JSON file; empty where there is no such file."""
    try:
        tree = load_json(path)
    except FileNotFoundError:
        return {}
    return tree if isinstance(tree, dict) else {}
