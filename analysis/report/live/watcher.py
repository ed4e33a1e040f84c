"""Watch results folders, and answer what the page asks: only what has changed is read, when it is asked for."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.report.build import content
from analysis.report.interactive import interactive
from analysis.report.live.dashboard import dashboard_command
from analysis.report.live.plot import plot_item
from analysis.report.live.running import Follower, RunningTrial
from analysis.report.page import details, render_part, render_shell
from analysis.report.pictures import pictures
from analysis.trials.read import SETTLED, Known, read
from analysis.trials.trial import Results
from ofb_ray.errors import InputError, one_line
from ofb_ray.results.files import PREVIEW_FOLDER, SWEEP_FILE
from ofb_ray.results.locations import is_uri
from ofb_ray.results.store import readable

LOOK_SECONDS, STORE_SECONDS = 1.0, 15.0  # between two looks at a folder, and at a store
PARTS = ("header", "found", "notes", "tables", "failures", "environment")
IDLE_FACTOR = 10  # pictures rest so many times as long as drawing them took: training needs the cores
LIVE = "Live: this page follows the results without a reload."


@dataclass(frozen=True)
class LiveState:
    """What the part of the page on running trials shows."""

    running: Sequence[RunningTrial]
    rest: Sequence[str]
    dashboard: str


class Watcher:
    """The answers to all that the page asks, as bytes; safe for several threads.

    Args:
        folders: results folders or their URIs.
        draw: whether the page has pictures.
    Raises:
        InputError: a folder does not exist or is no results folder.
    """

    def __init__(self, folders: Sequence[str | Path], draw: bool = True) -> None:
        self.folders, self._draw = folders, draw
        self._lock, self._drawing = threading.Lock(), threading.Lock()
        self._known: Known = {}
        self._stamps: dict[str, int] = {}
        self._looked = self._fetched = float("-inf")
        self._locals: list[Path] = []
        self._problem = ""
        self._follower = Follower()
        self._report: tuple[str, bytes] = ("", b"")
        self._pictures: tuple[str, bytes] = ("", b"")
        self._rested = 0.0  # when pictures may be drawn again, by the monotonic clock
        self._read = self._read_all()
        self._results, self._version = self._read, ""
        self._taken: Results | None = None  # of what was read, the last that was looked at, and its trials' states
        self._states: list[str] = []
        self._take()
        self.answers: Mapping[str, Callable[[], bytes]] = {
            "/": self.page,
            "/live.json": self.live,
            "/report.json": self.report,
            "/pictures.json": self.pictures,
        }

    @property
    def name(self) -> str:
        """The names of the sweeps."""
        return self._results.name

    def page(self) -> bytes:
        """Return the page without content."""
        return render_shell(self.name)

    def live(self) -> bytes:
        """Return what runs, and which report and pictures there are to ask for."""
        with self._lock:
            self._look()
            running, rest = self._follower.running(self._results)
            state = LiveState(running, rest, dashboard_command(self._locals))
            due = self._draw and (not self._pictures[0] or time.monotonic() > self._rested)
            return _json(
                {
                    "running": render_part("running", state),
                    "report": self._version,
                    "pictures": self._version if due else self._pictures[0],
                    "said": self._problem or LIVE,
                    "lost": bool(self._problem),
                }
            )

    def report(self) -> bytes:
        """Return everything that follows from the records, pictures apart."""
        with self._lock:
            if self._report[0] != self._version:
                self._report = (self._version, _json(self._contents()))
            return self._report[1]

    def pictures(self) -> bytes:
        """Return the pictures; drawing them may take seconds, in which everything else is answered."""
        with self._drawing:
            version, results = self._version, self._results
            if self._draw and version != self._pictures[0] and time.monotonic() > self._rested:
                start = time.monotonic()
                try:
                    page = replace(content(results, self.folders), pictures=pictures(results, self.folders), live=True)
                    self._pictures = (version, _json({"version": version, "html": render_part("pictures", page)}))
                finally:
                    self._rested = time.monotonic() + IDLE_FACTOR * (time.monotonic() - start)
            return self._pictures[1] or _json({"version": "", "html": ""})

    def _contents(self) -> dict[str, Any]:
        page = replace(content(self._results, self.folders), live=True)
        item, shape = plot_item(interactive(self._results, page.facts))
        return {
            "version": self._version,
            "title": page.title,
            "parts": {name: render_part(name, page) for name in PARTS},
            "rows": render_part("rows", page),
            "facts": details(page.facts),
            "plot": item,
            "shape": shape,
        }

    def _look(self) -> None:
        """Read what has changed since the last look."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            self._fetch()
            stamps = {path: stamp for folder in self._locals for path, stamp in stamps_of(folder).items()}
            if stamps != self._stamps:
                self._read = self._read_all()
                # What has just changed is looked at again: a second change may have the same time.
                settled = time.time_ns() - max(stamps.values(), default=0) > SETTLED * 1e9
                self._stamps = stamps if settled else {}
            self._take()
            self._problem = ""
        except (InputError, OSError) as error:  # a folder that is moved, a store that does not answer
            self._problem = one_line(f"Not up to date: {error}")

    def _fetch(self) -> None:
        stores = any(is_uri(str(folder)) for folder in self.folders)
        if not self._locals or (stores and time.monotonic() - self._fetched > STORE_SECONDS):
            self._locals = [readable(folder) for folder in self.folders]
            self._fetched = time.monotonic()

    def _take(self) -> None:
        """Make what was read the results that are shown, unless the report says the same of both."""
        results = self._follower.stated(self._read)
        states = [trial.status for trial in results.trials]
        if self._read is self._taken and states == self._states:
            return
        self._taken, self._states = self._read, states
        if (version := self._version_of(results)) != self._version:
            self._results, self._version = results, version

    def _read_all(self) -> Results:
        if not self._locals:
            read(self.folders, self._known)  # its errors name what the user has given
            self._fetch()
        return read(self._locals, self._known)

    def _version_of(self, results: Results) -> str:
        """Tell states of the results apart in which the report says something else; progress is no part of it."""
        trials = [
            (t.folder, t.status, t.label, t.reason, t.folder.stat().st_mtime_ns if t.record else 0)
            for t in results.trials
        ]
        others = [
            (path, stamp)
            for folder in results.folders
            for path, stamp in stamps_of(folder).items()
            if not Path(path).name.isdecimal() or Path(path).parent.name == PREVIEW_FOLDER
        ]
        return hashlib.sha256(repr((trials, others, results.problems)).encode()).hexdigest()[:16]


def stamps_of(folder: Path) -> dict[str, int]:
    """Tell when each folder of a trial, the sweep's file and its preview changed last, in nanoseconds.

    Raises:
        OSError: there is no such folder, or it cannot be read.
    """
    stamps: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if (entry.name.isdecimal() and entry.is_dir()) or entry.name == SWEEP_FILE:
                stamps[entry.path] = entry.stat().st_mtime_ns
            elif entry.name == PREVIEW_FOLDER and entry.is_dir():
                stamps |= stamps_of(Path(entry.path))
    return stamps


def _json(tree: Any) -> bytes:
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).encode()
