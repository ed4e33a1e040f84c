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
from ofb_ray.results.records import Outcome, Record
from ofb_ray.tuning.console.summary import (
    BUDGET_STATES,
    DONE,
    BudgetLine,
    TrialView,
    by_budget,
    seconds_left,
    short,
    view_of,
    waiting_view,
)

_STYLES = {"finished": "green", "failed": "red", "died": "red", "stopped": "yellow", "running": "cyan"}
_HEADS = {"waiting": "wait", "finished": "done"}
_SHOWN = ("phase", "epoch", "epochs", "top1_val", "expected_macs")
# At most this often is a summary printed where there is no terminal.
SUMMARY_SECONDS = 60.0


@dataclass
class _Row:
    """One trial of this launch: what the table shows of it while it runs.

    Args:
        trial: its trial.json.
        start: when this launch first heard of it, on the monotonic clock.
        last: its last reports put together.
        seconds: from the start to its end, None while it runs.
    """

    trial: TrialFile
    start: float
    last: Progress = NOT_STARTED
    seconds: float | None = None


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
        self._before = {number: view.progress for number, view in self._views.items()}
        self._rows: dict[int, _Row] = {}
        self._running: set[int] = set()
        self._done = sum(view.state in DONE for view in self._views.values())
        # What takes longer with more trials is worked out at most once a second.
        self._estimate: tuple[float, float | None] = (0.0, None)
        self._slots, self._next_summary = 1, self._start + SUMMARY_SECONDS
        self._live = (
            Live(get_renderable=self._render, console=self.console, refresh_per_second=2)
            if self.console.is_terminal and not self.console.is_dumb_terminal
            else None
        )

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
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
            row.last = row.last.model_copy(update=known)
        view.state, view.phase = "running", row.last.phase
        view.progress = report.progress or view.progress
        self._running.add(trial.trial)
        self._slots = max(self._slots, len(self._running))
        if report.phase not in ("", before, "done") and not self._live:
            values = params_label(trial.params)
            self.note(f"trial {trial.trial} (budget {trial.label}{'; ' + values if values else ''}): {row.last.phase}")
        self._summarise()

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
        self._next_summary = time.monotonic() + SUMMARY_SECONDS
        lines = [text for line in self._budgets() if (text := short(line, best(line) and f"{best(line)} MACs"))]
        self.note("; ".join([self._overall(), *lines]))

    def _budgets(self) -> list[BudgetLine]:
        return by_budget(self._spec, list(self._views.values()), self._total)

    def _overall(self) -> str:
        text, left = f"{self._done} of {self._total} done", self._left()
        return text if left is None or self._done == self._total else f"{text}, about {duration(left)} left"

    def _left(self) -> float | None:
        now = time.monotonic()
        if now - self._estimate[0] > 1.0:
            self._estimate = now, self._estimated()
        return self._estimate[1]

    def _estimated(self) -> float | None:
        views = list(self._views.values())
        now = sum(view.progress - self._before.get(view.number, 0.0) for view in views)
        spent = time.monotonic() - self._start
        pace = now / spent if now > 0.05 and spent else None
        died = sum(view.state == "died" for view in views)  # this launch tries them no more
        return seconds_left(views, self._total - died, self._slots, pace)

    def _render(self) -> Group:
        budgets = budget_table(self._budgets())
        room = self.console.height - budgets.row_count - 7
        overall = Table.grid(padding=(0, 1))
        overall.add_row(ProgressBar(total=self._total, completed=self._done, width=30), self._overall())
        return Group(self._trials(max(3, room)), Text(), budgets, Text(), overall)

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
                Text(last.phase if running else view.state, style=_STYLES.get(view.state, "")),
                f"{last.epoch}/{epochs}" if running and last.epoch is not None else "",
                "" if top1 is None else f"{top1:.1f} %",
                count(macs),
                duration(time.monotonic() - row.start if row.seconds is None else row.seconds),
                Text(params_label(row.trial.params), no_wrap=True, overflow="ellipsis"),
            )
        return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def budget_table(lines: Sequence[BudgetLine]) -> Table:
    """Make a table with a row for each budget and a column for each state of a trial; it fits into 80 columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("budget", no_wrap=True)
    states = [state for state in BUDGET_STATES if any(line.counts[state] for line in lines)]
    for state in (*states, "epochs"):
        table.add_column(_HEADS.get(state, state), no_wrap=True, justify="right")
    table.add_column("best top-1 val", no_wrap=True)
    for line in lines:
        counts = [Text(str(line.counts[state] or ""), style=_STYLES.get(state, "")) for state in states]
        table.add_row(escape(line.label), *counts, f"{line.epochs_done}/{line.epochs}", best(line))
    return table


def best(line: BudgetLine) -> str:
    """Write the best finished subnet of a budget with its MACs, `97.2 % at 245k`; empty where there is none."""
    return "" if line.top1 is None else f"{line.top1:.1f} % at {count(line.macs)}"


def describe_outcome(outcome: Outcome) -> str:
    """Say in a few words how a trial ended: `finished: top-1 val 97.2 %, MACs 1.2M (budget 0.5)`."""
    if outcome.status != "finished" or outcome.subnet is None:
        return f"{outcome.status}: {outcome.reason}"
    top1 = "" if outcome.subnet.top1_val is None else f"top-1 val {outcome.subnet.top1_val:.1f} %, "
    return f"finished: {top1}MACs {count(outcome.subnet.macs)} (budget {outcome.budget.label})"


def duration(seconds: float) -> str:
    """Write seconds as `34 s`, `5 min` or `2 h 10 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" + f" {minutes % 60} min" * (minutes % 60 > 0)


def count(number: float | None) -> str:
    """Write a count as `1.23M` or `456k`; empty for None."""
    if number is None:
        return ""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(int(number))
