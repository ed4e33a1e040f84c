"""Sum up how far a sweep is, budget by budget, for the live display, the log file and `ofb-ray status` alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ofb_ray.config import PHASES, Budget, Phase, SweepSpec
from ofb_ray.results.facts import State, TrialFacts
from ofb_ray.results.files import TrialFile
from ofb_ray.results.records import Outcome

BUDGET_STATES = ("waiting", *PHASES, "finished", "failed", "stopped")
DONE = ("finished", "failed", "stopped")


@dataclass
class TrialView:
    """One trial as the display shows it.

    Args:
        number: of the trial.
        budget: label of its budget.
        state: as of its facts.
        epochs: of all its phases together.
        phase: of its last report; empty before the first.
        progress: the share of its epochs that is done, in [0, 1].
        top1: of the finished subnet, in percent.
        macs: of the finished subnet.
        milliseconds: of the finished subnet, by the table of a budget that limits latency.
        seconds: wall time of its search and fine-tuning, once it is finished; the dense network is shared.
        by_phase: its epochs, phase by phase.
        seed: None where it is not known.
    """

    number: int
    budget: str
    state: State
    epochs: int
    phase: str = ""
    progress: float = 0.0
    top1: float | None = None
    macs: float | None = None
    milliseconds: float | None = None
    seconds: float | None = None
    by_phase: Mapping[Phase, int] = field(default_factory=dict)
    seed: int | None = None

    def end(self, outcome: Outcome) -> None:
        """Show how the trial ended."""
        self.state, self.progress = outcome.status, 1.0
        if outcome.subnet is not None:
            self.top1, self.macs = outcome.subnet.top1_val, outcome.subnet.macs
            if outcome.subnet.latency_ns is not None:
                self.milliseconds = outcome.subnet.latency_ns / 1e6
        if outcome.status == "finished":
            self.seconds = sum(seconds for phase, seconds in outcome.seconds.items() if phase != "dense")


@dataclass(frozen=True)
class BudgetLine:
    """All trials of one budget.

    Args:
        label: of the budget.
        counts: trials by the column that they are in.
        epochs_done: of all its trials together.
        epochs: of all its trials together, those to come included.
        top1: of the best finished subnet, in percent; None where there is none.
        macs: of the best finished subnet.
        milliseconds: of the best finished subnet, where the budget limits latency.
    """

    label: str
    counts: dict[str, int]
    epochs_done: int
    epochs: int
    top1: float | None
    macs: float | None
    milliseconds: float | None


def waiting_view(spec: SweepSpec, number: int, trial: TrialFile | None) -> TrialView:
    """Return the view of a trial that waits.

    Args:
        spec: the sweep.
        number: of the trial.
        trial: its trial.json, None where there is none.
    """
    explored = {**trial.cell, **trial.params} if trial is not None else {}
    link = trial.spec.get("chain") if trial is not None else None
    own = {"search": int(link["epochs"])} if link else {}
    by_phase = {
        phase: own.get(phase, int(explored.get(f"{phase}.epochs", getattr(spec, phase).epochs))) for phase in PHASES
    }
    label = Budget.model_validate(explored["budget"]).label if "budget" in explored else ""
    seed = explored.get("seed")
    return TrialView(number, label, "waiting", sum(by_phase.values()), by_phase=by_phase, seed=seed)


def view_of(spec: SweepSpec, fact: TrialFacts) -> TrialView:
    """Return the view of a trial as its folder tells it."""
    view = waiting_view(spec, fact.number, fact.trial)
    view.state, view.phase = fact.state, fact.progress.phase
    view.progress = fact.progress.progress or 0.0
    if fact.outcome is not None:
        view.end(fact.outcome)
    return view


def by_budget(spec: SweepSpec, views: Iterable[TrialView], total: int) -> list[BudgetLine]:
    """Sum up each budget, in the sweep file's order.

    Args:
        spec: the sweep.
        views: the trials that have a folder.
        total: trials of the sweep; those without a folder wait, for the budgets that have fewest.
    """
    trials: dict[str, list[TrialView]] = {budget.label: [] for budget in spec.budgets}
    for view in views:
        trials.setdefault(view.budget, []).append(view)
    lacking = dict.fromkeys(trials, 0)
    for _ in range(total - sum(map(len, trials.values()))):
        lacking[min(lacking, key=lambda label: len(trials[label]) + lacking[label])] += 1
    typical = sum(getattr(spec, phase).epochs for phase in PHASES)
    saved = spec.search.epochs - spec.chain.epochs if spec.chain is not None else 0
    first = spec.budgets[0].label
    return [_line(label, mine, lacking[label], typical - saved * (label != first)) for label, mine in trials.items()]


def _line(label: str, views: Sequence[TrialView], lacking: int, typical: int) -> BudgetLine:
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
        milliseconds=best.milliseconds if best else None,
    )


def _column(view: TrialView) -> str:
    if view.state == "running":
        return view.phase if view.phase in PHASES else "search" if view.phase == "done" else "dense"
    return "failed" if view.state == "died" else view.state


def seconds_left(views: Sequence[TrialView], total: int, slots: int) -> float | None:
    """Estimate the seconds that a sweep still needs by what finished trials took; None where there is none.

    Args:
        views: the trials that have a folder.
        total: trials of the sweep.
        slots: trials at a time.
    """
    known = [view.seconds for view in views if view.seconds is not None]
    if not known:
        return None
    work = total - sum(1.0 if view.state in DONE else view.progress for view in views)
    return max(0.0, work) * sum(known) / len(known) / max(1, slots)


def short(line: BudgetLine, best: str) -> str:
    """Write a budget in a line, `0.25: best 97.2 % at 0.25M MACs, 3 running`; empty where nothing has begun.

    Args:
        line: the budget.
        best: the best subnet as text, empty where there is none.
    """
    running = sum(line.counts[phase] for phase in PHASES)
    parts = [f"best {best}" if best else "", f"{running} running" if running else ""]
    parts += [f"{line.counts[state]} {state}" for state in ("failed", "stopped") if line.counts[state]]
    text = ", ".join(part for part in parts if part)
    return f"{line.label}: {text}" if text else ""
