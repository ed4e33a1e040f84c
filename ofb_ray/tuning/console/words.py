"""Words and numbers as the terminal shows them: how a trial ended, times, counts, the table of budgets."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ofb_ray.results.records import Outcome
from ofb_ray.tuning.console.summary import BUDGET_STATES, BudgetLine

STATE_STYLES = {"finished": "green", "failed": "red", "died": "red", "stopped": "yellow", "running": "cyan"}
_HEADS = {"waiting": "wait", "finished": "done"}


def budget_table(lines: Sequence[BudgetLine]) -> Table:
    """Make a table with a row for each budget and a column for each state of a trial; it fits into 80 columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("budget", no_wrap=True)
    states = [state for state in BUDGET_STATES if any(line.counts[state] for line in lines)]
    for state in (*states, "epochs"):
        table.add_column(_HEADS.get(state, state), no_wrap=True, justify="right")
    table.add_column("best top-1 val", no_wrap=True)
    for line in lines:
        counts = [Text(str(line.counts[state] or ""), style=STATE_STYLES.get(state, "")) for state in states]
        table.add_row(escape(line.label), *counts, f"{line.epochs_done}/{line.epochs}", best(line))
    return table


def best(line: BudgetLine, unit: str = "") -> str:
    """Write the best finished subnet of a budget with its cost, `97.2 % at 245k`; empty where there is none.

    Args:
        line: the budget; the cost is that in MACs, or in milliseconds where it limits them.
        unit: written after MACs.
    """
    if line.top1 is None:
        return ""
    cost = f"{count(line.macs)}{unit}" if line.milliseconds is None else f"{line.milliseconds:.3g} ms"
    return f"{line.top1:.1f} % at {cost}"


def describe_outcome(outcome: Outcome) -> str:
    """Say in a few words how a trial ended: `finished: top-1 val 97.2 %, MACs 1.2M (budget 0.5)`."""
    if outcome.status != "finished" or outcome.subnet is None:
        return f"{outcome.status}: {outcome.reason}"
    subnet = outcome.subnet
    top1 = "" if subnet.top1_val is None else f"top-1 val {subnet.top1_val:.1f} %, "
    time = "" if subnet.latency_ns is None else f", {subnet.latency_ns / 1e6:.3g} ms"
    return f"finished: {top1}MACs {count(subnet.macs)}{time} (budget {outcome.budget.label})"


def duration(seconds: float) -> str:
    """Write seconds as `34 s`, `5 min` or `2 h 10 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" + f" {minutes % 60} min" * (minutes % 60 > 0)


def clock(seconds: float) -> str:
    """Write seconds as `0:34`, `5:01` or `2:10:00`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def count(number: float | None) -> str:
    """Write a count as `1.23M` or `456k`; empty for None."""
    if number is None:
        return ""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(int(number))
