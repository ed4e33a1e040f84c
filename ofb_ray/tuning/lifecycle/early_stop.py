"""Early stopping that knows the phases: a trial some epochs into fine-tuning, compared with others of its budget.

Accuracy early in a search says little, so a trial is asked once, at a stated epoch of fine-tuning, when its subnet is
what will be used. It is compared with the trials of the same budget and grid point that have come so far, stopped ones
included. Seeds are pooled, as in the study: each gets suggestions of its own, so they are no repeats of each other, and
a gate that saw one seed alone would wait for `min_trials` in each. A gated sweep therefore favours lucky seeds: it
finds the best networks, and is no estimate of the spread over seeds.

The decision is `gate.json` in the trial's folder, written before it takes effect, so a trial that is killed and resumed
keeps to it. It is a function of the siblings' gate.json at that moment, not of any process' memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ofb_ray.config import GateSpec, Json
from ofb_ray.results.atomic import read_json, write_json
from ofb_ray.results.attempt import Attempt
from ofb_ray.results.files import GATE_FILE, TrialFile
from ofb_ray.results.outage import patiently
from ofb_ray.results.ranking import rank_among
from ofb_ray.results.store import Remote

Gate = Callable[[Json], str | None]


def gate_of(
    spec: GateSpec | None, trial: TrialFile, folder: Path, files: Attempt, uri: str | None = None
) -> Gate | None:
    """Return what run_trial asks in a trial; None where the sweep has no gate, or the trial is promoted.

    Args:
        trial, folder: the trial's trial.json and its folder on this node.
        files: keeps the decision, before it takes effect.
        uri: of the store that holds the results, if one does.
    """
    if spec is None or trial.promotes is not None:
        return None

    def gate(facts: Json) -> str | None:
        if facts["epoch"] != spec.epochs:
            return None
        decision = read_json(folder / GATE_FILE)
        if not decision:
            if uri:
                remote = Remote(uri)
                patiently(lambda: _fetch(remote, folder.parent), files.note)
            decision = decide(spec, facts, trial.label, passed(folder.parent, trial.label, folder.name))
            write_json(folder / GATE_FILE, decision)
        files.decided()
        return str(decision["reason"]) if decision["stop"] else None

    return gate


def passed(results: Path, label: str, own: str) -> list[Json]:
    """The decisions of the trials with this label that have come to the gate, but the folder `own`'s."""
    paths = [path for path in sorted(results.glob(f"*/{GATE_FILE}")) if path.parent.name != own]
    return [tree for tree in map(read_json, paths) if tree.get("label") == label]


def decide(spec: GateSpec, facts: Json, label: str, others: list[Json]) -> Json:
    """The content of gate.json.

    Args:
        facts: as run_trial gives them: epoch, top1_val in percent, used (cost over target).
        label: of the trial's cell, without the seed.
        others: the decisions to compare with.
    """
    ranking = rank_among((facts["top1_val"], facts["used"]), [(other["top1_val"], other["used"]) for other in others])
    enough = ranking.of >= spec.min_trials
    stop = enough and ranking.outside(spec.keep)
    place = f"place {ranking.position} of {ranking.of} at budget {label} after {spec.epochs} fine-tune epochs"
    why = f"the best {spec.keep:g} go on" if enough else f"fewer than {spec.min_trials} trials: all go on"
    return {
        "label": label,
        "epoch": facts["epoch"],
        "top1_val": facts["top1_val"],
        "used": facts["used"],
        "rank": ranking.rank,
        "place": ranking.position,
        "of": ranking.of,
        "stop": stop,
        "reason": f"gate: {place} ({facts['top1_val']:.2f} %); {why}",
    }


def _fetch(remote: Remote, results: Path) -> None:
    """Copy the decisions that this node lacks. They are written once, so those that are here stay as they are."""
    names = [name for name in remote.list() if name.endswith(f"/{GATE_FILE}") and not (results / name).exists()]
    remote.download(results, names)
