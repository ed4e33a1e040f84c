"""What a sweep shows: a live table on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ofb_ray.config import Json, SweepSpec
from ofb_ray.results.folder import TrialFacts, params_label
from ofb_ray.results.records import Record
from ofb_ray.tuning.console.summary import (
    BUDGET_STATES,
    DONE,
    BudgetLine,
    View,
    by_budget,
    make_view,
    seconds_left,
    short,
    view_of,
)

_STYLES = {"finished": "green", "failed": "red", "died": "red", "stopped": "yellow", "running": "cyan"}
_HEADS = {"waiting": "wait", "finished": "done"}
# At most this often is a summary printed where there is no terminal.
SUMMARY_SECONDS = 60.0
_SHOWN = ("phase", "epoch", "epochs", "top1_val", "expected_macs")


class Display:
    """Follows the trials of one launch. Use as a context manager.

    Args:
        spec: the sweep.
        facts: its trials as they are before this launch.
        total: trials of the whole sweep.
        console: default: standard output, live only if it is a terminal that can move its cursor.
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
        self._rows: dict[int, Json] = {}
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

    def progress(self, number: int, trial: Json, report: Json) -> None:
        """A trial has reported.

        Args:
            trial: its trial.json; report: run_trial's keys (phase, epoch, epochs, progress, top1_val, ...).
        """
        row, view = self._row(number, trial), self._view(number, trial)
        changed = report.get("phase") not in (None, row.get("phase"), "done")
        if report.get("phase") != "done":  # that is no epoch; `ended` follows
            row.update({key: report[key] for key in _SHOWN if report.get(key) is not None})
        view.state, view.phase = "running", str(row.get("phase", ""))
        view.progress = float(report.get("progress") or view.progress)
        self._slots = max(self._slots, sum(view.state == "running" for view in self._views.values()))
        if changed and not self._live:
            values = params_label(row["params"])
            self.note(f"trial {number} (budget {row['label']}{'; ' + values if values else ''}): {row['phase']}")
        self._summarise()

    def ended(self, number: int, trial: Json, record: Record | None, reason: str) -> None:
        """A trial has ended: with its record, or without one for `reason`; an empty reason is an interruption."""
        row, view = self._row(number, trial), self._view(number, trial)
        row["seconds"] = time.monotonic() - row["start"]
        if record is None:
            view.state = "died" if reason else "waiting"
            if reason:
                self.note(f"trial {number} died: {reason}")
            return
        view.end(record)
        if record.status == "failed" or not self._live:
            self.note(f"trial {number} {outcome(record)} ({duration(row['seconds'])}; {self._overall()})")
        self._summarise()

    def note(self, line: str) -> None:
        """Print a line, above the table where there is one."""
        if self._live:
            self._live.console.print(escape(line))
        else:
            print(line, file=self.console.file, flush=True)

    def _row(self, number: int, trial: Json) -> Json:
        fresh = {"start": time.monotonic(), "label": trial.get("label", ""), "params": trial.get("params", {})}
        return self._rows.setdefault(number, fresh)

    def _view(self, number: int, trial: Json) -> View:
        if number not in self._views:
            self._views[number] = make_view(self._spec, number, trial.get("cell", {}), trial.get("params", {}))
        return self._views[number]

    def _summarise(self) -> None:
        if self._live or time.monotonic() < self._next_summary:
            return
        self._next_summary = time.monotonic() + SUMMARY_SECONDS
        lines = [text for line in self._budgets() if (text := short(line, best(line) and f"{best(line)} MACs"))]
        self.note("; ".join([self._overall(), *lines]))

    def _budgets(self) -> list[BudgetLine]:
        return by_budget(self._spec, list(self._views.values()), self._total)

    def _overall(self) -> str:
        done = sum(view.state in DONE for view in list(self._views.values()))
        text, left = f"{done} of {self._total} done", self._left()
        return text if left is None or done == self._total else f"{text}, about {duration(left)} left"

    def _left(self) -> float | None:
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
        done = sum(view.state in DONE for view in list(self._views.values()))
        overall.add_row(ProgressBar(total=self._total, completed=done, width=30), self._overall())
        return Group(self._trials(max(3, room)), Text(), budgets, Text(), overall)

    def _trials(self, room: int) -> Table:
        table = _table("trial", "budget", "phase", "epoch", "top-1 val", "MACs", "time")
        table.add_column("explored")  # the one column that may be cut, so that the others keep their width
        # The renderer's thread reads while the driver's adds.
        rows = [(number, row, self._views[number]) for number, row in list(self._rows.items()) if number in self._views]
        rows.sort(key=lambda item: (item[2].state == "running", item[0]))
        for number, row, view in rows[-room:]:
            running = view.state == "running"
            top1, macs = (row.get("top1_val"), row.get("expected_macs")) if running else (view.top1, view.macs)
            table.add_row(
                str(number),
                escape(row["label"]),
                Text(str(row.get("phase", "")) if running else view.state, style=_STYLES.get(view.state, "")),
                f"{row['epoch']}/{row.get('epochs', '?')}" if running and "epoch" in row else "",
                "" if top1 is None else f"{top1:.1f} %",
                count(macs),
                duration(row.get("seconds", time.monotonic() - row["start"])),
                Text(params_label(row["params"]), no_wrap=True, overflow="ellipsis"),
            )
        return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def budget_table(lines: Sequence[BudgetLine]) -> Table:
    """A row a budget; states that no trial is in have no column. All states together fit into 80 columns."""
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
    """`97.2 % at 245k`: the best finished subnet of a budget, with its MACs; empty where there is none."""
    return "" if line.top1 is None else f"{line.top1:.1f} % at {count(line.macs)}"


def outcome(record: Record) -> str:
    """A record in a few words: `finished: top-1 val 97.2 %, MACs 1.2M (budget 0.5)`."""
    if record.status != "finished" or record.subnet is None:
        return f"{record.status}: {record.reason}"
    top1 = "" if record.subnet.top1_val is None else f"top-1 val {record.subnet.top1_val:.1f} %, "
    return f"finished: {top1}MACs {count(record.subnet.macs)} (budget {record.budget.label})"


def status_table(spec: SweepSpec, facts: list[TrialFacts], total: int) -> str:
    """A results folder as plain text: each budget, each trial that is not finished, and the time left."""
    views = [view_of(spec, fact) for fact in facts]
    console = Console(width=100, highlight=False, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(budget_table(by_budget(spec, views, total)))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    for fact in facts:
        if fact.state in ("failed", "died", "running", "stopped"):
            text = outcome(fact.record) if fact.record else _progress(fact)
            lines.append(f"trial {fact.number} ({params_label(fact.params) or 'defaults'}) {text}")
    done = sum(view.state in DONE for view in views)
    slots = max(1, sum(view.state == "running" for view in views))
    left = seconds_left(views, total, slots)
    counts = Counter(view.state for view in views)
    counts["waiting"] += max(0, total - len(views))
    states = ", ".join(f"{counts[state]} {state}" for state in (*_STYLES, "waiting") if counts[state])
    lines.append(f"{done} of {total} done ({states})")
    if left and done < total:
        lines[-1] += f", about {duration(left)} left with {slots} trial(s) at a time"
    return "\n".join(lines)


def _progress(fact: TrialFacts) -> str:
    progress = fact.progress
    if fact.state == "died":
        return f"died: {progress.get('message', '')}"
    share = 100 * float(progress.get("progress") or 0.0)
    return f"running: {progress.get('phase', 'starting')} {progress.get('epoch', '')} {share:.0f} %"


def duration(seconds: float) -> str:
    """`34 s`, `5 min`, `2 h 10 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def count(number: float | None) -> str:
    """`1.23M`, `456k`; empty for None."""
    if number is None:
        return ""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(int(number))
