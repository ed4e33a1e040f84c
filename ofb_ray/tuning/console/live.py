"""Show a sweep: a live table on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ofb_ray.config import SweepSpec
from ofb_ray.results.cells import params_label
from ofb_ray.results.facts import NOT_STARTED, TrialFacts
from ofb_ray.results.files import Progress, TrialFile
from ofb_ray.results.records import Record
from ofb_ray.tuning.console.pace import Pace
from ofb_ray.tuning.console.summary import (
    DONE,
    BudgetLine,
    TrialView,
    by_budget,
    seconds_left,
    short,
    view_of,
    waiting_view,
)
from ofb_ray.tuning.console.words import STATE_STYLES, best, budget_table, clock, count, describe_outcome, duration

# Of the trials that say what they do before an epoch ends, so many at a time.
_SAID = 4
_SHOWN = ("phase", "epoch", "epochs", "top1_val", "expected_macs")
# So often is a summary printed where there is no terminal: at first more often.
FIRST_SUMMARY_SECONDS, SUMMARY_SECONDS = 10.0, 60.0
# At most so often a trial says there what it does before an epoch has ended.
MESSAGE_SECONDS = 5.0


@dataclass
class _Row:
    """One trial of this launch: what the table shows of it while it runs.

    Args:
        trial: its trial.json.
        start: when this launch first heard of it, on the monotonic clock.
        last: its last reports put together.
        seconds: from the start to its end, None while it runs.
        told: when a line last told of it.
    """

    trial: TrialFile
    start: float
    last: Progress = NOT_STARTED
    seconds: float | None = None
    told: float = -MESSAGE_SECONDS


class Display:
    """Follow the trials of one launch. Use as a context manager.

    Args:
        spec: the sweep.
        facts: its trials as they are before this launch.
        total: trials of the whole sweep, promoted ones included.
        console: where to; default: standard output, live only if it is a terminal that can move its cursor.
    """

    def __init__(
        self, spec: SweepSpec, facts: Sequence[TrialFacts], total: int, console: Console | None = None
    ) -> None:
        self.console = console or Console(highlight=False, force_terminal=sys.stdout.isatty())
        self._spec, self._total, self._start = spec, total, time.monotonic()
        self._views = {fact.number: view_of(spec, fact) for fact in facts}
        for view in self._views.values():
            view.state = "waiting" if view.state in ("running", "died") else view.state
        self._pace = Pace()
        self._rows: dict[int, _Row] = {}
        self._running: set[int] = set()
        self._done = sum(view.state in DONE for view in self._views.values())
        # What takes longer with more trials is worked out at most once a second.
        self._estimate: tuple[float, float | None] = (0.0, None)
        self._slots, self._next_summary = 1, self._start + FIRST_SUMMARY_SECONDS
        self._live = (
            Live(get_renderable=self._render, console=self.console, refresh_per_second=2)
            if self.console.is_terminal and not self.console.is_dumb_terminal
            else None
        )

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        elif left := self._total - self._done:
            self.note(f"starting trials: {left} to run")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def progress(self, trial: TrialFile, report: Progress) -> None:
        """Show a report of a trial.

        Args:
            trial: its trial.json.
            report: what it reports; nothing where its phase is `done`, which is no epoch: `ended` follows.
        """
        row, view = self._row(trial), self._view(trial)
        before = row.last.phase
        if report.phase != "done":
            known = {name: value for name in _SHOWN if (value := getattr(report, name)) not in (None, "")}
            row.last = row.last.model_copy(update={**known, "message": report.message})
            self._pace.heard(trial.trial, report, time.monotonic())
        view.state, view.phase = "running", row.last.phase
        view.progress = report.progress or view.progress
        self._running.add(trial.trial)
        self._slots = max(self._slots, len(self._running))
        if not self._live:
            self._tell(row, report, new=report.phase not in ("", before, "done"))
        self._summarise()

    def _tell(self, row: _Row, report: Progress, new: bool) -> None:
        """Print a line where a phase begins, and what takes long before its first epoch."""
        now, trial = time.monotonic(), row.trial
        if not new and (not report.message or now - row.told < MESSAGE_SECONDS):
            return
        row.told = now
        message = f": {report.message}" if report.message else ""
        values = params_label(trial.params)
        self.note(
            f"trial {trial.trial} (budget {trial.label}{'; ' + values if values else ''}): {row.last.phase}{message}"
        )

    def ended(self, trial: TrialFile, record: Record | None, reason: str) -> None:
        """Show how a trial ended.

        Args:
            trial: its trial.json.
            record: None where it stays open.
            reason: why it has no record; empty where it was interrupted.
        """
        row, view = self._row(trial), self._view(trial)
        row.seconds = time.monotonic() - row.start
        self._running.discard(trial.trial)
        if record is None:
            view.state = "died" if reason else "waiting"
            if reason:
                self.note(f"trial {trial.trial} died: {reason}")
            return
        self._done -= view.state in DONE
        view.end(record.outcome)
        self._done += view.state in DONE
        if record.status == "failed" or not self._live:
            took = duration(row.seconds)
            self.note(f"trial {trial.trial} {describe_outcome(record.outcome)} ({took}; {self._overall()})")
        self._summarise()

    def note(self, line: str) -> None:
        """Print a line, above the table where there is one."""
        if self._live:
            self._live.console.print(escape(line))
        else:
            print(line, file=self.console.file, flush=True)

    def _row(self, trial: TrialFile) -> _Row:
        return self._rows.setdefault(trial.trial, _Row(trial, time.monotonic()))

    def _view(self, trial: TrialFile) -> TrialView:
        if trial.trial not in self._views:
            self._views[trial.trial] = waiting_view(self._spec, trial.trial, trial)
        return self._views[trial.trial]

    def _summarise(self) -> None:
        if self._live or time.monotonic() < self._next_summary:
            return
        spent = time.monotonic() - self._start
        self._next_summary = time.monotonic() + min(SUMMARY_SECONDS, max(FIRST_SUMMARY_SECONDS, spent / 5))
        lines = [text for line in self._budgets() if (text := short(line, best(line, " MACs")))]
        self.note("; ".join([self._overall(), *lines]))

    def _budgets(self) -> list[BudgetLine]:
        return by_budget(self._spec, list(self._views.values()), self._total)

    def _overall(self) -> str:
        text, left = f"{self._done} of {self._total} done", self._left()
        if not self._rows:
            waited = duration(time.monotonic() - self._start)
            return f"{text}; starting the first process: {waited}"
        return text if left is None or self._done == self._total else f"{text}, about {duration(left)} left"

    def _left(self) -> float | None:
        now = time.monotonic()
        if now - self._estimate[0] > 1.0:
            self._estimate = now, self._estimated()
        return self._estimate[1]

    def _estimated(self) -> float | None:
        views = list(self._views.values())
        died = sum(view.state == "died" for view in views)  # this launch tries them no more
        total = self._total - died
        timed = self._pace.left(self._spec, [view for view in views if view.state != "died"], total, self._slots)
        return seconds_left(views, total, self._slots) if timed is None else timed

    def _render(self) -> Group:
        budgets = budget_table(self._budgets())
        room = self.console.height - budgets.row_count - 7
        overall = Table.grid(padding=(0, 1))
        overall.add_row(ProgressBar(total=self._total, completed=self._done, width=30), self._overall())
        told = [f"trial {n}: {row.last.message}" for n, row in sorted(self._rows.items()) if self._says(n, row)]
        said = [Text(line, no_wrap=True, overflow="ellipsis") for line in told[:_SAID]]
        return Group(self._trials(max(3, room - len(said))), *said, Text(), budgets, Text(), overall)

    def _says(self, number: int, row: _Row) -> bool:
        return bool(row.last.message) and number in self._views and self._views[number].state == "running"

    def _trials(self, room: int) -> Table:
        table = _table("trial", "budget", "phase", "epoch", "top-1 val", "MACs", "time")
        table.add_column("explored")  # the one column that may be cut, so that the others keep their width
        # The renderer's thread reads while the driver's adds.
        rows = [(number, row, self._views[number]) for number, row in list(self._rows.items()) if number in self._views]
        rows.sort(key=lambda item: (item[2].state == "running", item[0]))
        for number, row, view in rows[-room:]:
            running, last = view.state == "running", row.last
            top1, macs = (last.top1_val, last.expected_macs) if running else (view.top1, view.macs)
            epochs = "?" if last.epochs is None else last.epochs
            table.add_row(
                str(number),
                escape(row.trial.label),
                Text(last.phase if running else view.state, style=STATE_STYLES.get(view.state, "")),
                f"{last.epoch}/{epochs}" if running and last.epoch is not None else "",
                "" if top1 is None else f"{top1:.1f} %",
                count(macs),
                clock(time.monotonic() - row.start if row.seconds is None else row.seconds),
                Text(params_label(row.trial.params), no_wrap=True, overflow="ellipsis"),
            )
        return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table
