"""What a sweep shows: a live table on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import time
from collections import Counter

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ofb_ray.records import Record
from ofb_ray.spec import Json
from ofb_ray.tuning.folder import TrialFacts, params_label

_STYLES = {"finished": "green", "failed": "red", "died": "red", "stopped": "yellow", "running": "cyan"}


_SHOWN = ("phase", "epoch", "epochs", "progress", "top1_val", "expected_macs")


class Display:
    """Follows the trials of one launch. Use as a context manager.

    Args:
        total: trials of the whole sweep.
        done: those that had a record before this launch.
    """

    def __init__(self, total: int, done: int) -> None:
        self.console = Console(highlight=False)
        self._total, self._before, self._start = total, done, time.monotonic()
        self._done = 0
        self._rows: dict[int, Json] = {}
        self._live = (
            Live(get_renderable=self._render, console=self.console, refresh_per_second=2)
            if self.console.is_terminal
            else None
        )

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def progress(self, number: int, label: str, params: Json, report: Json) -> None:
        """A trial has reported: `report` has run_trial's keys (phase, epoch, epochs, progress, top1_val, ...)."""
        row = self._rows.setdefault(number, {"start": time.monotonic(), "phase": ""})
        changed = report.get("phase") not in (None, row["phase"], "done")
        row.update({key: report[key] for key in _SHOWN if report.get(key) is not None})
        row.update(label=label, params=params, state="running")
        if changed and not self._live:
            values = params_label(params)
            self.note(f"trial {number} (budget {label}{'; ' + values if values else ''}): {row['phase']}")

    def ended(self, number: int, record: Record | None, reason: str) -> None:
        """A trial has ended: with its record, or without one for `reason`; an empty reason is an interruption."""
        row = self._rows.setdefault(number, {"start": time.monotonic(), "phase": "", "label": "", "params": {}})
        row["seconds"] = time.monotonic() - row["start"]
        row["progress"] = 1.0
        if record is None:
            row["state"] = "died" if reason else "waiting"
            if reason:
                self.note(f"trial {number} died: {reason}")
            return
        self._done += 1
        row.update(state=record.status)
        if record.subnet is not None:
            row.update(top1_val=record.subnet.top1_val, macs=record.subnet.macs)
        if record.status == "failed" or not self._live:
            self.note(f"trial {number} {outcome(record)} ({duration(row['seconds'])}; {self._overall()})")

    def note(self, line: str) -> None:
        """Print a line, above the table where there is one."""
        if self._live:
            self._live.console.print(line)
        else:
            print(line, flush=True)

    def _overall(self) -> str:
        left = self._left()
        text = f"{self._before + self._done} of {self._total} done"
        return text if left is None else f"{text}, about {duration(left)} left"

    def _left(self) -> float | None:
        """Seconds left at the pace of this launch, or None while there is nothing to judge it by."""
        now = sum(row["progress"] for row in self._rows.values() if row.get("progress"))
        spent = time.monotonic() - self._start
        return (self._total - self._before - now) * spent / now if now > 0.05 else None

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for column in ("trial", "budget", "explored", "phase", "epoch", "top-1 val", "MACs", "time"):
            table.add_column(column)
        shown = sorted(self._rows.items(), key=lambda item: (item[1].get("state") == "running", item[0]))
        for number, row in shown[-max(4, self.console.height - 5) :]:
            state = row.get("state", "")
            seconds = row.get("seconds", time.monotonic() - row["start"])
            phase = row["phase"] if state == "running" else state
            table.add_row(
                str(number),
                row.get("label", ""),
                params_label(row.get("params", {})),
                Text(phase, style=_STYLES.get(state, "")),
                f"{row['epoch']}/{row.get('epochs', '?')}" if state == "running" and "epoch" in row else "",
                f"{row['top1_val']:.1f} %" if "top1_val" in row else "",
                count(row.get("macs", row.get("expected_macs"))),
                duration(seconds),
            )
        overall = Table.grid(padding=(0, 1))
        overall.add_row(ProgressBar(total=self._total, completed=self._before + self._done, width=40), self._overall())
        return Group(table, overall)


def outcome(record: Record) -> str:
    """A record in a few words: `finished: top-1 val 97.2 %, MACs 1.2M (budget 0.5)`."""
    if record.status != "finished" or record.subnet is None:
        return f"{record.status}: {record.reason}"
    top1 = "" if record.subnet.top1_val is None else f"top-1 val {record.subnet.top1_val:.1f} %, "
    return f"finished: {top1}MACs {count(record.subnet.macs)} (budget {record.budget.label})"


def status_table(facts: list[TrialFacts], total: int) -> str:
    """The trials of a results folder by state, each that is not finished, and the time left, as plain text."""
    counts: Counter[str] = Counter(fact.state for fact in facts)
    counts["waiting"] += total - len(facts)
    lines = [f"{counts[state]:5d} {state}" for state in (*_STYLES, "waiting") if counts[state]]
    for fact in facts:
        if fact.state in ("failed", "died", "running", "stopped"):
            text = outcome(fact.record) if fact.record else _progress(fact)
            lines.append(f"trial {fact.number} ({params_label(fact.params) or 'defaults'}) {text}")
    finished = [sum(fact.record.seconds.values()) for fact in facts if fact.record and fact.state == "finished"]
    left = total - sum(fact.record is not None for fact in facts)
    if left and finished:
        work = (left - sum(_share(fact) for fact in facts)) * sum(finished) / len(finished)
        workers = max(1, counts["running"])
        lines.append(f"about {duration(work / workers)} left with {workers} trial(s) at a time")
    return "\n".join(lines)


def _progress(fact: TrialFacts) -> str:
    progress = fact.progress
    if fact.state == "died":
        return f"died: {progress.get('message', '')}"
    return f"running: {progress.get('phase', 'starting')} {progress.get('epoch', '')} {100 * _share(fact):.0f} %"


def _share(fact: TrialFacts) -> float:
    return 0.0 if fact.record else float(fact.progress.get("progress") or 0.0)


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
