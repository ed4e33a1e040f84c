"""Promotion: the best few of each budget go on to a long fine-tune, each as a new trial that takes over the search.

A promoted trial has a number after all others and a trial.json of its own, which names its donor. It is no part of the
Optuna study: its parameters are not suggested, and its accuracy comes of longer training. What a search found lies in
the shared folder; where it is missing (another node that works on a store, a promotion that was added to a finished
sweep) the search runs again and, on a CPU, finds the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ofb_ray.config import SweepSpec, TrialSpec
from ofb_ray.results import records
from ofb_ray.results.atomic import read_json, write_json
from ofb_ray.results.files import KEPT_SEARCH, RECORD_FILE, SHARED_FOLDER, TRIAL_FILE, trial_folder, trial_folders
from ofb_ray.results.folder import PROMOTES, cell_key, cell_label, issued, promoted, trial_total
from ofb_ray.results.records import Record


class Promotions:
    """Issues promoted trials, as `Suggestions` issues the others; the trial folders are its memory.

    Args:
        results: the results folder; the caller holds its driver's lock.
        spec: a sweep that promotes.
    """

    def __init__(self, results: Path, spec: SweepSpec) -> None:
        self.results, self.spec = results, spec
        self._waiting = [number for number in promoted(results) if not _done(results, number)]

    @property
    def left(self) -> int:
        """Promoted trials that have no record yet, issued or not."""
        waiting = [number for number in promoted(self.results) if not _done(self.results, number)]
        return len(waiting) + len(chosen(self.spec, self.results))

    def next(self) -> int | None:
        """The number of the next trial to run, its trial.json written; None when all are issued."""
        if self._waiting:
            return self._waiting.pop(0)
        donors = chosen(self.spec, self.results)
        if not donors:
            return None
        number = 1 + max(int(folder.name) for folder in trial_folders(self.results))
        tree = read_json(trial_folder(self.results, donors[0]) / TRIAL_FILE)
        assert self.spec.promote is not None
        epochs = self.spec.promote.epochs
        trial = {**tree["spec"], "finetune": {**tree["spec"]["finetune"], "epochs": epochs}}
        changes = {"trial": number, "key": TrialSpec.model_validate(trial).key, "spec": trial, PROMOTES: donors[0]}
        changes["params"] = {**tree["params"], "finetune.epochs": epochs}
        write_json(trial_folder(self.results, number) / TRIAL_FILE, {**tree, **changes})
        return number

    def tell(self, number: int) -> Record | None:
        """The record of trial `number`, if there is one."""
        return records.read_record(trial_folder(self.results, number))

    def close(self) -> None:
        """Remove the kept searches if no trial is left that could use them."""
        if not self.left and sweep_total(self.spec, self.results) == len(trial_folders(self.results)):
            for folder in (self.results / SHARED_FOLDER).glob(f"{KEPT_SEARCH}*"):
                shutil.rmtree(folder, ignore_errors=True)


def sweep_total(spec: SweepSpec, results: Path | None = None) -> int:
    """The number of trials of a sweep, promoted ones included: as many as there are to be, as far as that is known.

    Args:
        results: its results folder, if given.
    """
    total = trial_total(spec, results)
    there = len(promoted(results)) if results else 0
    if spec.promote is None:
        return total + there
    unknown = [label for label in _labels(spec) if results is None or not _complete(spec, results, label)]
    to_come = len(chosen(spec, results)) if results else 0
    return total + there + to_come + spec.promote.best * len(unknown)


def chosen(spec: SweepSpec, results: Path) -> list[int]:
    """The trials to promote that are not promoted yet: of each budget whose trials are all done the best.

    Best is the highest held-out top-1, then the lowest cost, among those that finished and met their budget.
    """
    assert spec.promote is not None
    taken = {int(tree[PROMOTES]) for tree in promoted(results).values()}
    found: list[int] = []
    for label in _labels(spec):
        if _complete(spec, results, label):
            numbers = [number for number, tree in issued(results).items() if tree["label"] == label]
            ranked = sorted((key, number) for number in numbers if (key := _merit(results, number)) is not None)
            found += [number for _, number in ranked[: spec.promote.best] if number not in taken]
    return found


def _merit(results: Path, number: int) -> tuple[float, int] | None:
    """What sorts trials, the best first; None for one that is not to be promoted."""
    record = records.read_record(trial_folder(results, number))
    if record is None or record.status != "finished" or record.subnet is None or record.subnet.top1_val is None:
        return None
    cost = int(getattr(record.subnet, record.budget.resource))
    return (-record.subnet.top1_val, cost) if cost <= record.budget.target else None


def _labels(spec: SweepSpec) -> list[str]:
    return list(dict.fromkeys(cell_label(cell) for cell in spec.cells))


def _complete(spec: SweepSpec, results: Path, label: str) -> bool:
    """Whether all trials of the budget have a record."""
    trees = {number: tree for number, tree in issued(results).items() if tree["label"] == label}
    for cell in spec.cells:
        if cell_label(cell) == label:
            same = [number for number, tree in trees.items() if cell_key(tree["cell"]) == cell_key(cell)]
            if len(same) < spec.wanted(cell):
                return False
    return all(_done(results, number) for number in trees)


def _done(results: Path, number: int) -> bool:
    return (trial_folder(results, number) / RECORD_FILE).exists()
