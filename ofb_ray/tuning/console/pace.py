"""Tell from the reports of a launch how long an epoch of each phase takes, and from that how long the rest takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ofb_ray.config import PHASES, Phase, SweepSpec
from ofb_ray.results.files import Progress
from ofb_ray.tuning.console.summary import DONE, TrialView

# Seconds of an epoch over those of a dense one, for a phase of which none has been seen yet.
_UNSEEN: Mapping[Phase, float] = {"dense": 1.0, "search": 1.5, "finetune": 1.0}


class Pace:
    """The mean seconds of an epoch, by phase."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[str, int, float]] = {}
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._epochs: defaultdict[str, int] = defaultdict(int)

    def heard(self, trial: int, report: Progress, now: float) -> None:
        """Learn from a report of a trial.

        Args:
            now: when it came, in seconds on any clock. Two reports of one phase tell how long their epochs took.
        """
        if report.epoch is None:
            return
        phase, epoch, since = self._last.get(trial, ("", 0, now))
        if phase == report.phase and report.epoch > epoch:
            self._spent[phase] += now - since
            self._epochs[phase] += report.epoch - epoch
        # What is told before the first epoch is no epoch's time: a wait, a calibration.
        self._last[trial] = report.phase, report.epoch, now

    def seconds(self, phase: Phase) -> float | None:
        """Return the seconds of an epoch of a phase, by those of another where none has been seen; None: of none."""
        if self._epochs[phase]:
            return self._spent[phase] / self._epochs[phase]
        seen = [known for known in PHASES if self._epochs[known]]
        if not seen:
            return None
        known = seen[-1]
        return self._spent[known] / self._epochs[known] * _UNSEEN[phase] / _UNSEEN[known]

    def left(self, spec: SweepSpec, views: Sequence[TrialView], total: int, slots: int) -> float | None:
        """Estimate the seconds that a sweep still needs; None before any epoch has been timed.

        The dense networks, one for each seed, come first and are shared. What finished trials took beside their epochs
        (calibration, evaluation) is added to the others in proportion.

        Args:
            views: the trials that have a folder.
            total: trials of the sweep.
            slots: trials at a time.
        """
        known = {phase: self.seconds(phase) or 0.0 for phase in PHASES}
        if not any(known.values()):
            return None
        open_ = [view for view in views if view.state not in DONE]
        rests = [_own(_rest(view), known) for view in open_] or [0.0]
        finished = [view for view in views if view.seconds and view.by_phase]
        expected = sum(_own(view.by_phase, known) for view in finished)
        ratio = sum(view.seconds or 0.0 for view in finished) / expected if expected else 1.0
        trials = sum(rests) + _unseen(spec, views, total, known)
        dense = _dense_epochs(spec, views) * known["dense"]
        # The last trial has a slot of its own.
        return dense / max(1, min(slots, len(spec.seeds))) + ratio * max(trials / max(1, slots), *rests)


def _unseen(spec: SweepSpec, views: Sequence[TrialView], total: int, seconds: Mapping[Phase, float]) -> float:
    """Add up the seconds of the trials that have no folder yet; in a chain those of its later budgets search less."""
    whole: dict[Phase, int] = {phase: getattr(spec, phase).epochs for phase in PHASES}
    missing = max(0, total - len(views))
    if spec.chain is None:
        return missing * _own(whole, seconds)
    first = spec.budgets[0].label
    leading = max(0, total // len(spec.budgets) - sum(view.budget == first for view in views))
    link = {**whole, "search": spec.chain.epochs}
    return min(missing, leading) * _own(whole, seconds) + max(0, missing - leading) * _own(link, seconds)


def _own(epochs: Mapping[Phase, int], seconds: Mapping[Phase, float]) -> float:
    """Add up the seconds of a trial's own phases; its dense network is shared."""
    return sum(epochs.get(phase, 0) * seconds[phase] for phase in PHASES if phase != "dense")


def _rest(view: TrialView) -> dict[Phase, int]:
    """Count the epochs of each phase that a trial has left."""
    done, rest = round(view.progress * view.epochs), dict[Phase, int]()
    for phase in PHASES:
        planned = view.by_phase.get(phase, 0)
        rest[phase] = planned - min(planned, max(0, done))
        done -= planned
    return rest


def _dense_epochs(spec: SweepSpec, views: Sequence[TrialView]) -> int:
    """Count the epochs that the dense networks have left, of which each seed has one."""
    rest = dict.fromkeys(spec.seeds, spec.dense.epochs)
    for view in views:
        if view.seed in rest:
            rest[view.seed] = min(rest[view.seed], 0 if view.state in DONE else _rest(view)["dense"])
    return sum(rest.values())
