"""Preview a sweep: the front that its dense network gives without any training, in minutes and without Ray.

A preview is a sweep of its own in `<results>/preview`: the sweep's first cell at many budgets, with no epoch of search
or fine-tuning. Dense network and calibration are those of the sweep, in its folder, where its trials find them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofb_ray.config import Budget, SweepSpec, TrialSpec
from ofb_ray.config.load import KeyOrigins
from ofb_ray.errors import InputError, TrialFailed, UnreachableBudget
from ofb_ray.results.cells import cell_label, plain_cell
from ofb_ray.results.files import PREVIEW_FOLDER, SHARED_FOLDER, TrialFile, trial_folder
from ofb_ray.results.folder import check_same_sweep, driver_lock, results_folder, write_sweep
from ofb_ray.results.locations import is_uri
from ofb_ray.results.records import Record
from ofb_ray.trial.plan import UNTRAINED_SHARES, reachable
from ofb_ray.trial.run import run_trial
from ofb_ray.tuning.lifecycle.failures import write_failed

_SECTIONS = {"model", "data", "dense", "search", "finetune", "latency", "question"}
_NO_TRAINING = {"search": {"epochs": 0}, "finetune": {"epochs": 0}}
_CALIBRATED = {"recipe": "calibrated", "basis": None, "start": None, "compensate": None}


@dataclass(frozen=True)
class Preview:
    """A preview that can be run.

    Args:
        spec: as a sweep, one trial to a budget.
        results: its results folder.
        shared: the folder in which dense network and calibration are kept.
        trials: to run, by number.
        passed_over: budgets that the network cannot reach, by label, with the reason.
    """

    spec: SweepSpec
    results: Path
    shared: Path
    trials: tuple[TrialSpec, ...]
    passed_over: dict[str, str]


def prepare_preview(spec: SweepSpec, origins: KeyOrigins, budgets: Sequence[float] = ()) -> Preview:
    """Prepare the preview of a sweep; nothing is written.

    Args:
        budgets: shares of the MACs; none: those of the sweep, and more between them.
    Raises:
        InputError: the sweep cannot be planned, or its folder holds another preview.
    """
    if is_uri(spec.storage):
        raise InputError("a preview is written to a folder: give --storage FOLDER", key="storage")
    wanted = tuple(Budget(macs_ratio=share) for share in budgets) or _budgets(spec.budgets)
    whole = _as_sweep(spec, wanted)
    with origins.located():
        found, passed_over = reachable(whole.trial(cell, {}) for cell in whole.cells)
        if budgets and passed_over:
            raise InputError(next(iter(passed_over.values())), key="budgets")
        found.sort(key=lambda pair: -pair[1].target / pair[1].dense_cost)  # the dearest first
        whole = _as_sweep(spec, [trial.budget for trial, _ in found])
        results = results_folder(whole)
        check_same_sweep(results, whole)
    trials = tuple(whole.trial(cell, {}) for cell in whole.cells)
    return Preview(whole, results, results.parent / SHARED_FOLDER, trials, passed_over)


def run_preview(preview: Preview, show: Callable[[dict[str, Any]], None]) -> list[Record]:
    """Train the dense network if it is not there, calibrate it, and make the network of every budget.

    The same call goes on after a crash. A budget of latency that turns out to be below the smallest network has a
    record that says so, with the status failed.

    Args:
        show: called with each report of `run_trial`.
    Raises:
        TrialFailed: the dense network's training diverged.
    """
    created = not preview.results.exists()
    try:
        preview.results.mkdir(parents=True, exist_ok=True)
        lock = driver_lock(preview.results)
        try:
            write_sweep(preview.results, preview.spec)
            return [_run(preview, number, trial, show) for number, trial in enumerate(preview.trials)]
        finally:
            lock.release()
    except OSError as error:
        if created:
            shutil.rmtree(preview.results, ignore_errors=True)
        raise InputError(
            f"cannot write to {preview.results} ({error.strerror}): free space, or give another --storage",
            key="storage",
        ) from None


def _run(preview: Preview, number: int, trial: TrialSpec, show: Callable[[dict[str, Any]], None]) -> Record:
    folder = trial_folder(preview.results, number)
    folder.mkdir(exist_ok=True)
    label = cell_label(preview.spec.cells[number])
    spec = trial.model_dump(mode="json")
    if TrialFile.read(folder) is None:
        cell = preview.spec.cells[number]
        file = TrialFile(
            trial=number, sweep=preview.spec.name, key=trial.key, cell=plain_cell(cell), label=label, spec=spec
        )
        file.write(folder)
    count = f"{number + 1} of {len(preview.trials)}"

    def report(row: dict[str, Any]) -> None:
        show({**row, "network": f"budget {label} ({count})"})

    try:
        record = run_trial(
            trial, report, folder, shared=preview.shared, trial=number, sweep=preview.spec.name, test=False
        )
    except UnreachableBudget as error:
        return write_failed(folder, error.message)
    if record.status != "finished" and record.budget.target:  # else its budget was out of reach
        raise TrialFailed(record.reason)
    return record


def _as_sweep(spec: SweepSpec, budgets: Sequence[Budget]) -> SweepSpec:
    """The sweep's sections with no training after the dense network, and nothing explored."""
    tree = spec.model_dump(mode="json", include=_SECTIONS)
    for section, keys in _NO_TRAINING.items():
        tree[section] |= keys
    tree["search"] |= _CALIBRATED
    tree |= {"name": PREVIEW_FOLDER, "storage": str(results_folder(spec)), "seeds": [spec.seeds[0]], "loggers": []}
    tree["budgets"] = [budget.model_dump(mode="json", exclude_none=True) for budget in budgets]
    tree["question"] = f"{spec.question or spec.name} Preview: nothing trained but the dense network"
    return SweepSpec.model_validate(tree)


def _budgets(own: Sequence[Budget]) -> tuple[Budget, ...]:
    """The sweep's budgets and, as many as `UNTRAINED_SHARES` has, evenly spread shares of the MACs."""
    have = {budget.macs_ratio for budget in own}
    more = [Budget(macs_ratio=share) for share in UNTRAINED_SHARES if share not in have]
    missing = max(0, len(UNTRAINED_SHARES) - len(own))
    step = len(more) / max(1, missing)
    return (*own, *(more[int(index * step)] for index in range(missing)))
