"""Start warm: take records of earlier sweeps as trials that the sampler learns from and that have no folder here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from optuna.trial import FrozenTrial

from ofb_ray.config import Json, SweepSpec
from ofb_ray.config.space import applies, inside, suggestion_order, value_at
from ofb_ray.errors import InputError
from ofb_ray.results.cells import cell_label
from ofb_ray.results.files import TrialFile, trial_folders
from ofb_ray.results.folder import results_uri
from ofb_ray.results.locations import same
from ofb_ray.results.records import read_record
from ofb_ray.results.store import readable
from ofb_ray.tuning.optuna.ends import end_of
from ofb_ray.tuning.optuna.journal import FROM, frozen
from ofb_ray.tuning.optuna.metrics import objective_values


def warm_folders(spec: SweepSpec, results: Path) -> list[Path]:
    """Find the earlier results folders of `warm_start`, as folders on this machine.

    Raises:
        InputError: one does not exist, or is this sweep's own.
    """
    found = []
    for index, location in enumerate(spec.warm_start):
        folder, key = readable(location), f"warm_start.{index}"
        if not folder.is_dir() or not trial_folders(folder):
            raise InputError(f"{location} holds no trials: give a results folder, <storage>/<sweep name>", key=key)
        if same(location, results_uri(spec) or results):
            raise InputError("is this sweep's own folder, which it goes on with anyway: leave it out", key=key)
        found.append(folder)
    return found


def warm_trials(spec: SweepSpec, results: Path) -> tuple[list[FrozenTrial], list[str]]:
    """Return the trials to learn from, and a line for each folder: how many were taken, and why others were not."""
    trials: list[FrozenTrial] = []
    notes = []
    cells = {cell_label(cell): cell for cell in spec.cells}
    for location, folder in zip(spec.warm_start, warm_folders(spec, results), strict=True):
        refused: Counter[str] = Counter()
        paths = trial_folders(folder)
        for path in paths:
            found = _warm(spec, cells, path, f"{location.rstrip('/')}/{path.name}")
            if isinstance(found, str):
                refused[found] += 1
            else:
                trials.append(found)
        others = "".join(f"; {count} {reason}" for reason, count in refused.items())
        taken = len(paths) - sum(refused.values())
        notes.append(f"warm start: {taken} of {len(paths)} trials taken from {location}{others}")
    return trials, notes


def _warm(spec: SweepSpec, cells: dict[str, Json], folder: Path, source: str) -> FrozenTrial | str:
    """Return the trial in `folder`, or why it is not taken."""
    try:
        record, trial = read_record(folder), TrialFile.read(folder)
    except ValueError:
        return "of another format"
    if record is None or record.status != "finished":
        return "not finished"
    if trial is not None and trial.promotes is not None:
        return "promoted"
    label = trial.label if trial is not None else ""
    if label not in cells:
        return "of another cell"
    values: Json = {}
    for key in suggestion_order(spec.parameters):
        if applies(spec.parameters[key], {**cells[label], **values}):
            values[key] = value_at(record.spec, key)
            if not inside(spec.parameters[key], values[key]):
                return f"with {key} outside its range"
    if objective_values(spec, record.outcome) is None:
        return "without an objective"
    return frozen(spec, end_of(spec, record.outcome), label, values, {FROM: source})
