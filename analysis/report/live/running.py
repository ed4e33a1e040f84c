"""Follow the trials that have no record yet: who works on them, how far they are, how long they still take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from analysis.fronts.selected_table import human
from analysis.report.live.logs import Logs
from analysis.trials.read import SETTLED
from analysis.trials.trial import Results, Trial
from ofb_ray.errors import InputError
from ofb_ray.results.facts import is_worked_on
from ofb_ray.results.files import Progress

PHASES = {"": "starting", "dense": "dense network", "finetune": "fine-tuning", "done": "writing its record"}
OPEN = ("running", "queued", "died")
MOST_POINTS = 500  # of a trial's line; from there on every second one is left out


@dataclass(frozen=True)
class RunningTrial:
    """A trial that somebody works on, for the reader.

    Args:
        state: phase, epoch and rest in words.
        share: of its epochs that is done, in [0, 1]; None before the first report.
        numbers: of the last report, each with its name.
        line: held-out top-1 over `share` as the path of an SVG of 100 x 20; empty before the second report.
        range: the accuracies that the line spans.
        log: its last lines.
    """

    name: str
    label: str
    state: str
    share: float | None
    numbers: tuple[str, ...]
    line: str
    range: str
    log: str


@dataclass
class _Seen:
    """What was seen of one trial: its last report, and (time, share, top-1) of each."""

    stamp: int = -1
    progress: Progress = field(default_factory=Progress)
    reports: list[tuple[float, float, float | None]] = field(default_factory=list)


class Follower:
    """Remembers the reports of open trials, so that each gets a line and a pace of its own."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}
        self._logs = Logs()

    def stated(self, results: Results) -> Results:
        """Return the results with the states of open trials as they are: running is what somebody works on.

        An attempt that is killed changes no file, so that this is asked at every look.
        """
        trials = tuple(_stated(trial) if _is_open(trial) else trial for trial in results.trials)
        changed = any(new is not old for new, old in zip(trials, results.trials, strict=True))
        return replace(results, trials=trials) if changed else results

    def running(self, results: Results) -> tuple[list[RunningTrial], list[str]]:
        """List the trials that somebody works on, and say in sentences what becomes of the other open ones.

        Args:
            results: as `stated` returns them.
        """
        open_trials = [trial for trial in results.trials if _is_open(trial)]
        self._seen = {trial.folder: self._seen.get(trial.folder, _Seen()) for trial in open_trials}
        typical = _typical_seconds(results)
        shown: list[RunningTrial] = []
        others: Counter[str] = Counter()
        for trial in open_trials:
            seen = self._seen[trial.folder]
            _renew(seen, trial.folder)
            if trial.status == "running":
                shown.append(_running(trial, seen, typical, self._logs.end_of(trial.folder)))
            else:
                others["interrupted" if trial.status == "queued" and seen.progress.phase else trial.status] += 1
        return shown, _sentences(others)


def _renew(seen: _Seen, folder: Path) -> None:
    try:
        stamp = folder.stat().st_mtime_ns
        if stamp == seen.stamp:
            return
        progress = Progress.read(folder) or Progress()
    except (OSError, ValueError):
        return
    # A folder that has just changed may change again within the same tick of the disk's clock.
    seen.stamp = stamp if time.time_ns() - stamp > SETTLED * 1e9 else -1
    seen.progress = progress
    if progress.time is None or progress.progress is None:
        return
    if seen.reports and progress.progress < seen.reports[-1][1]:
        seen.reports.clear()  # another attempt, from an earlier checkpoint
    if not seen.reports or progress.time > seen.reports[-1][0]:
        seen.reports.append((progress.time, progress.progress, progress.top1_val))
    if len(seen.reports) > MOST_POINTS:
        seen.reports[1:-1] = seen.reports[1:-1:2]


def _is_open(trial: Trial) -> bool:
    # One that failed before its target was known has no record here, and is not open.
    return trial.record is None and trial.status in OPEN


def _stated(trial: Trial) -> Trial:
    if _worked_on(trial.folder):
        return trial if trial.status == "running" else replace(trial, status="running", reason="")
    return replace(trial, status="queued") if trial.status == "running" else trial


def _worked_on(folder: Path) -> bool:
    try:
        return is_worked_on(folder)
    except (OSError, InputError):
        return False


def _running(trial: Trial, seen: _Seen, typical: float | None, log: str) -> RunningTrial:
    progress = seen.progress
    parts = [PHASES.get(progress.phase, progress.phase)]
    if progress.epoch is not None:
        parts.append(f"epoch {progress.epoch}" + (f" of {progress.epochs}" if progress.epochs else ""))
    if (rest := _seconds_left(seen, typical)) is not None:
        parts.append(f"about {duration(rest)} left")
    if progress.message and not progress.died:
        parts.append(progress.message)
    numbers = [
        f"top-1 {progress.top1_val:.2f} %" if progress.top1_val is not None else "",
        f"loss {progress.loss:.4g}" if progress.loss is not None else "",
        f"expected MACs {human(progress.expected_macs)}" if progress.expected_macs is not None else "",
    ]
    line, span = _line([(share, top1) for _, share, top1 in seen.reports if top1 is not None])
    values = tuple(number for number in numbers if number)
    return RunningTrial(str(trial.name), trial.label, ", ".join(parts), progress.progress, values, line, span, log)


def _seconds_left(seen: _Seen, typical: float | None) -> float | None:
    """Estimate the rest by the trial's own pace between its reports, or else by what finished trials took."""
    share = seen.progress.progress
    if share is None:
        return typical
    if len(seen.reports) > 1:
        (start, first, _), (end, last, _) = seen.reports[0], seen.reports[-1]
        if last > first and end > start:
            return (1.0 - share) * (end - start) / (last - first)
    return None if typical is None else (1.0 - share) * typical


def _typical_seconds(results: Results) -> float | None:
    """The mean time of search and fine-tuning of the finished trials; the dense network is shared."""
    records = [trial.record for trial in results.trials if trial.record and trial.record.status == "finished"]
    times = [sum(s for phase, s in record.seconds.items() if phase != "dense") for record in records]
    return sum(times) / len(times) if times else None


def _line(points: Sequence[tuple[float, float]]) -> tuple[str, str]:
    if len(points) < 2:
        return "", ""
    low, high = min(top1 for _, top1 in points), max(top1 for _, top1 in points)
    scale = 18 / max(high - low, 1e-9)
    path = " L".join(f"{100 * share:.2f} {19 - scale * (top1 - low):.2f}" for share, top1 in points)
    return f"M{path}", f"{low:.2f} % to {high:.2f} %"


def _sentences(others: Counter[str]) -> list[str]:
    said = {
        "queued": "not begun",
        "interrupted": "interrupted: no process works on it, the sweep's command with --resume goes on",
        "died": "ended by bad input or a full disk, see the failures; the sweep's command with --resume tries again",
    }
    return [f"{count} trial{'s' * (count != 1)} {said[status]}." for status, count in sorted(others.items())]


def duration(seconds: float) -> str:
    """Write seconds as `34 s`, `5 min` or `2 h 10 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
