"""How far a sweep is, budget by budget: the same figures for the live display, the log file and `ofb-ray status`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ofb_ray.config import PHASES, Budget, Json, SweepSpec
from ofb_ray.results.folder import TrialFacts
from ofb_ray.results.records import Record

BUDGET_STATES = ("waiting", *PHASES, "finished", "failed", "stopped")
DONE = ("finished", "failed", "stopped")


@dataclass
class View:
    """One trial for a reader.

    Args:
        budget: its label; state: finished, failed, stopped, running, died or waiting.
        epochs: of all its phases together; progress: the share of them that is done.
        top1, macs: of the finished subnet; while it runs, as its last report has them.
        seconds: its search and fine-tuning, once it is finished; the dense network is shared.
    """

    number: int
    budget: str
    state: str
    epochs: int
    phase: str = ""
    progress: float = 0.0
    top1: float | None = None
    macs: float | None = None
    seconds: float | None = None

    def end(self, record: Record) -> None:
        """The trial has this record."""
        self.state, self.progress = record.status, 1.0
        if record.subnet is not None:
            self.top1, self.macs = record.subnet.top1_val, record.subnet.macs
        if record.status == "finished":
            self.seconds = sum(seconds for phase, seconds in record.seconds.items() if phase != "dense")


@dataclass(frozen=True)
class BudgetLine:
    """All trials of one budget: how many stand where, epochs done of all epochs, and the best finished subnet."""

    label: str
    counts: dict[str, int]
    epochs_done: int
    epochs: int
    top1: float | None
    macs: float | None


def make_view(spec: SweepSpec, number: int, cell: Json, params: Json) -> View:
    """A trial that waits; `cell` is its trial.json's."""
    chosen = {**cell, **params}
    epochs = sum(int(chosen.get(f"{phase}.epochs", getattr(spec, phase).epochs)) for phase in PHASES)
    label = Budget.model_validate(cell["budget"]).label if "budget" in cell else ""
    return View(number, label, "waiting", epochs)


def view_of(spec: SweepSpec, fact: TrialFacts) -> View:
    """A trial as its folder tells it."""
    view = make_view(spec, fact.number, fact.cell, fact.params)
    view.state, view.phase = fact.state, str(fact.progress.get("phase", ""))
    view.progress = float(fact.progress.get("progress") or 0.0)
    if fact.record is not None:
        view.end(fact.record)
    return view


def by_budget(spec: SweepSpec, views: Iterable[View], total: int) -> list[BudgetLine]:
    """A line a budget, in the sweep file's order.

    Args:
        views: the trials that have a folder.
        total: trials of the sweep; those without a folder wait, for the budgets that have fewest.
    """
    trials: dict[str, list[View]] = {budget.label: [] for budget in spec.budgets}
    for view in views:
        trials.setdefault(view.budget, []).append(view)
    lacking = dict.fromkeys(trials, 0)
    for _ in range(total - sum(map(len, trials.values()))):
        lacking[min(lacking, key=lambda label: len(trials[label]) + lacking[label])] += 1
    typical = sum(getattr(spec, phase).epochs for phase in PHASES)
    return [_line(label, mine, lacking[label], typical) for label, mine in trials.items()]


def _line(label: str, views: Sequence[View], lacking: int, typical: int) -> BudgetLine:
    counts = dict.fromkeys(BUDGET_STATES, 0)
    counts["waiting"] = lacking
    for view in views:
        counts[_column(view)] += 1
    finished = [view for view in views if view.state == "finished" and view.top1 is not None]
    best = max(finished, key=lambda view: (view.top1 or 0.0, -(view.macs or 0.0)), default=None)
    return BudgetLine(
        label,
        counts,
        epochs_done=sum(round(view.progress * view.epochs) for view in views),
        epochs=sum(view.epochs for view in views) + lacking * typical,
        top1=best.top1 if best else None,
        macs=best.macs if best else None,
    )


def _column(view: View) -> str:
    if view.state == "running":
        return view.phase if view.phase in PHASES else "search" if view.phase == "done" else "dense"
    return "failed" if view.state == "died" else view.state


def seconds_left(views: Sequence[View], total: int, slots: int, pace: float | None = None) -> float | None:
    """The time that a sweep still needs, or None where nothing tells it.

    What finished trials took, in this launch or an earlier one, tells it best.

    Args:
        slots: trials at a time.
        pace: trials per second of this launch, used until a trial has finished.
    """
    work = total - sum(1.0 if view.state in DONE else view.progress for view in views)
    known = [view.seconds for view in views if view.seconds is not None]
    if known:
        return max(0.0, work) * sum(known) / len(known) / max(1, slots)
    return max(0.0, work) / pace if pace else None


def short(line: BudgetLine, best: str) -> str:
    """`0.25: best 97.2 % at 0.25M MACs, 3 running` for a log file; empty where nothing has begun.

    Args:
        best: the best subnet as text, empty where there is none.
    """
    running = sum(line.counts[phase] for phase in PHASES)
    parts = [f"best {best}" if best else "", f"{running} running" if running else ""]
    parts += [f"{line.counts[state]} {state}" for state in ("failed", "stopped") if line.counts[state]]
    text = ", ".join(part for part in parts if part)
    return f"{line.label}: {text}" if text else ""
