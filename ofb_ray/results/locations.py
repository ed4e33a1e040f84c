"""Name where results are: a folder, or a URI of a store. Nothing here reads or writes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

CACHE_VARIABLE = "OFB_RAY_CACHE"


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
