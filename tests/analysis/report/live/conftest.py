"""A server of made-up results for the tests of the live report."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from analysis.report.live.server import Server, serve
from analysis.report.live.watcher import Watcher
from ofb_ray.results.files import TRIAL_LOCK, trial_folder

Serve = Callable[[Path | str], Server]


@pytest.fixture
def served() -> Iterator[Serve]:
    """Serve a results folder or a URI, without pictures, which take most of the time, on any free port."""
    with contextlib.ExitStack() as stack:

        def start(folder: Path | str) -> Server:
            server = stack.enter_context(serve(Watcher([folder], draw=False), 0))
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.shutdown)
            return server

        yield start


@contextlib.contextmanager
def worked_on(folder: Path, number: int) -> Iterator[None]:
    """Hold the lock of a trial, as its attempt does."""
    with FileLock(trial_folder(folder, number) / TRIAL_LOCK):
        yield
