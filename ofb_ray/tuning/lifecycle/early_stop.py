"""Stop a trial early: some epochs into fine-tuning it is compared with others of its budget.

Accuracy early in a search says little, so a trial is asked once, at a stated epoch of fine-tuning, when its subnet is
what will be used. It is compared with the trials of the same budget and grid point that have come so far, stopped ones
included. Seeds are pooled, as in the study: each gets suggestions of its own, so they are no repeats of each other, and
a gate that saw one seed alone would wait for `min_trials` in each. A gated sweep therefore favours lucky seeds: it
finds the best networks, and is no estimate of the spread over seeds.

The decision is `gate.json` in the trial's folder, written before it takes effect, so a trial that is killed and resumed
keeps to it. It is a function of the siblings' gate.json at that moment, not of any process' memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ofb_ray.config import GateSpec, Json
from ofb_ray.results.attempt import Attempt
from ofb_ray.results.files import GATE_FILE, GateDecision, TrialFile, trial_folder
from ofb_ray.results.outage import patiently
from ofb_ray.results.ranking import rank_among
from ofb_ray.results.store import Remote


@dataclass(frozen=True)
class EpochFacts:
    """What run_trial tells of a fine-tune epoch.

    Args:
        epoch: fine-tune epochs done.
        epochs: of the whole fine-tuning.
        top1_val: top-1 accuracy on the held-out part of train, in percent.
        used: the subnet's cost over its target.
    """

    epoch: int
    epochs: int
    top1_val: float
    used: float


class EarlyStop:
    """Decide once, at a stated epoch of fine-tuning, whether a trial stops there. run_trial calls it as its `gate`.

    Args:
        spec: when to decide, and how many go on.
        trial: the trial that asks.
        attempt: the attempt at it: where its folder is, and what sends the decision to a store.
        uri: of the store, None where the results are a folder.
    """

    def __init__(self, spec: GateSpec, trial: TrialFile, attempt: Attempt, uri: str | None = None) -> None:
        self._spec, self._trial, self._attempt, self._uri = spec, trial, attempt, uri

    def __call__(self, facts: Json) -> str | None:
        """Return the reason to stop, None to go on.

        Args:
            facts: those of `EpochFacts`, by name.
        """
        known = EpochFacts(**facts)
        if known.epoch != self._spec.epochs:
            return None
        folder = self._attempt.folder
        decision = GateDecision.read(folder)
        if decision is None:
            if self._uri:
                remote = Remote(self._uri)
                patiently(lambda: _fetch(remote, folder.parent), self._attempt.note)
            decision = decide(self._spec, known, self._trial.label, decisions(folder.parent, self._trial))
            decision.write(folder)
        self._attempt.decided()
        return decision.reason if decision.stop else None


def early_stop(spec: GateSpec | None, trial: TrialFile, attempt: Attempt, uri: str | None = None) -> EarlyStop | None:
    """Return what run_trial is to ask in a trial; None where the sweep stops none early, or the trial is promoted.

    Args:
        spec: of the sweep's scheduler.
        trial: the trial that asks.
        attempt: the attempt at it.
        uri: of the store, None where the results are a folder.
    """
    if spec is None or trial.promotes is not None:
        return None
    return EarlyStop(spec, trial, attempt, uri)


def decisions(results: Path, trial: TrialFile) -> list[GateDecision]:
    """Read the decisions of the other trials with this trial's label that have come so far."""
    own = trial_folder(results, trial.trial)
    folders = [path.parent for path in sorted(results.glob(f"*/{GATE_FILE}")) if path.parent != own]
    found = [decision for folder in folders if (decision := GateDecision.read(folder)) is not None]
    return [decision for decision in found if decision.label == trial.label]


def decide(spec: GateSpec, facts: EpochFacts, label: str, others: list[GateDecision]) -> GateDecision:
    """Decide whether a trial stops.

    Args:
        spec: how many go on.
        facts: of the trial's epoch.
        label: of the trial's cell, without the seed.
        others: the decisions to compare with.
    """
    ranking = rank_among((facts.top1_val, facts.used), [(other.top1_val, other.used) for other in others])
    enough = ranking.of >= spec.min_trials
    place = f"place {ranking.position} of {ranking.of} at budget {label} after {spec.epochs} fine-tune epochs"
    why = f"the best {spec.keep:g} go on" if enough else f"fewer than {spec.min_trials} trials: all go on"
    return GateDecision(
        label=label,
        epoch=facts.epoch,
        top1_val=facts.top1_val,
        used=facts.used,
        rank=ranking.rank,
        place=ranking.position,
        of=ranking.of,
        stop=enough and ranking.outside(spec.keep),
        reason=f"gate: {place} ({facts.top1_val:.2f} %); {why}",
    )


def _fetch(remote: Remote, results: Path) -> None:
    """Copy the decisions that this node lacks. They are written once, so those that are here stay as they are."""
    names = [name for name in remote.list() if name.endswith(f"/{GATE_FILE}") and not (results / name).exists()]
    remote.download(results, names)
