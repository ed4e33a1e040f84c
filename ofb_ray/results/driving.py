"""Tell who drives a sweep, or drove it last, from its results folder alone; writes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ofb_ray.errors import BrokenFileError
from ofb_ray.results.facts import LEASE_SECONDS, is_locked
from ofb_ray.results.files import DRIVER_LEASE, DRIVER_LOCK, LeaseFile, read_model

NOBODY = LeaseFile()


@dataclass(frozen=True)
class DriverFacts:
    """The driver of a sweep.

    Args:
        state: `running`; `gone`: it ended without a word, or its lock cannot be seen here; `ended`; `unknown`: no file;
            `silent`: its lease in the store is not renewed, as it is killed or does not reach the store.
        file: what it has left of itself; empty where it left nothing.
    """

    state: Literal["running", "gone", "silent", "ended", "unknown"]
    file: LeaseFile = NOBODY


def read_driver(results: Path, uri: str | None = None, now: float | None = None) -> DriverFacts:
    """Read who drives a sweep.

    Args:
        results: the results folder.
        uri: of which it is the local copy, if any: its driver runs as long as it renews its lease.
        now: the time, in seconds since 1970; default: this machine's.
    """
    try:
        file = read_model(LeaseFile, results / DRIVER_LEASE)
    except BrokenFileError:
        file = None
    if uri is None:
        running = is_locked(results / DRIVER_LOCK)
    else:
        running = (
            file is not None and bool(file.id) and (time.time() if now is None else now) - file.time < LEASE_SECONDS
        )
    if running:
        return DriverFacts("running", file or NOBODY)
    if file is None:
        return DriverFacts("unknown")
    if not file.id:
        return DriverFacts("ended", file)
    return DriverFacts("silent" if uri else "gone", file)
