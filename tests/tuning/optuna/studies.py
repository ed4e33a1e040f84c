"""Sweeps driven by hand, without Ray: trials are given out, get a record, and are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ofb_ray.config import Json, SweepSpec
from ofb_ray.results import records
from ofb_ray.results.files import TRIAL_FILE, trial_folder
from ofb_ray.tuning.optuna.study import Suggestions
from tests.tuning.fake import make_record

FAILED: Json = {"status": "failed", "reason": "loss is NaN", "subnet": None}
BASE: Json = {
    "name": "s",
    "search": {"lr": 1e-3},
    "budgets": [0.5, 0.75],
    "trials": 8,
    "parameters": {
        "search.lr": {"min": 1e-4, "max": 1e-2, "log": True},
        "search.eliminations_per_epoch": {"min": 1, "max": 8, "integer": True},
    },
}


def sweep(**changes: Any) -> SweepSpec:
    return SweepSpec.model_validate({**BASE, **changes})


def trial_json(results: Path, number: int) -> Json:
    found: Json = json.loads((trial_folder(results, number) / TRIAL_FILE).read_bytes())
    return found


def finish(results: Path, spec: SweepSpec, number: int, **changes: Any) -> None:
    """What run_trial would leave."""
    trial = trial_json(results, number)
    record = make_record(spec.trial(trial["cell"], trial["params"]), number, spec.name, **changes)
    records.write_record(trial_folder(results, number), record)


def run_all(results: Path, spec: SweepSpec, restart_every: int = 1000) -> list[Json]:
    """All trials of a sweep one after the other, with a new process's eyes after every few; their trial.json."""
    results.mkdir(exist_ok=True)
    suggestions = Suggestions(results, spec)
    done = 0
    while (number := suggestions.next()) is not None:
        finish(results, spec, number)
        suggestions.tell(number)
        done += 1
        if done % restart_every == 0:
            suggestions = Suggestions(results, spec)
    return [trial_json(results, number) for number in range(done)]
