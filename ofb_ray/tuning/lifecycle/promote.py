"""Promote the best few of each budget to a long fine-tune, each as a new trial that takes over the search.

A promoted trial has a number after all others and a trial.json of its own, which names its donor. It is no part of the
Optuna study: its parameters are not suggested, and its accuracy comes of longer training. What a search found lies in
the shared folder; where it is missing (another node that works on a store, a promotion that was added to a finished
sweep) the search runs again and, on a CPU, finds the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from ofb_ray.config import SweepSpec, TrialSpec
from ofb_ray.results.files import KEPT_SEARCH, SHARED_FOLDER, TrialFile
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.records import Outcome


class Promotions:
    """Issue promoted trials, as `Suggestions` issues the others.

    Args:
        index: the trials of a sweep that promotes; the caller holds its driver's lock.
    """

    def __init__(self, index: TrialIndex) -> None:
        self.index = index
        self._waiting = index.promoted_open()

    @property
    def spec(self) -> SweepSpec:
        """The sweep."""
        return self.index.spec

    @property
    def left(self) -> int:
        """Promoted trials that have no record yet, issued or not."""
        return self.index.promotions_left

    def next(self) -> TrialFile | None:
        """Issue the next promoted trial, its trial.json written; None when all are issued.

        Raises:
            OSError: it cannot be written.
        """
        if self._waiting:
            return self.index.trial(self._waiting.pop(0))
        donors = self.index.to_promote()
        if not donors:
            return None
        trial = self._promote(self.index.trial(donors[0]))
        self.index.issue(trial)
        return trial

    def searched(self, number: int) -> None:
        """Pass over it: no trial waits for the search of a promoted one."""

    def barred(self, number: int) -> str:
        """Return nothing: the donor of a promoted trial has finished."""
        return ""

    def close(self, number: int, outcome: Outcome | None) -> None:
        """Take in how trial `number` ended; without an outcome it stays open for a later launch."""
        self.index.close(number, outcome)

    def reissue(self, numbers: Iterable[int]) -> None:
        """Have `next` issue trials again that are still open."""
        self._waiting = sorted({*self._waiting, *numbers})

    def remove_searches(self) -> None:
        """Remove the kept searches if no trial is left that could use them; a chain may be extended."""
        if self.index.done == self.index.total and self.spec.chain is None:
            for folder in (self.index.results / SHARED_FOLDER).glob(f"{KEPT_SEARCH}*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _promote(self, donor: TrialFile) -> TrialFile:
        assert self.spec.promote is not None
        number, epochs = self.index.last_number(), self.spec.promote.epochs
        spec = {**donor.spec, "finetune": {**donor.spec["finetune"], "epochs": epochs}}
        changes = {
            "trial": number,
            "key": TrialSpec.model_validate(spec).key,
            "spec": spec,
            "promotes": donor.trial,
            "follows": None,
        }
        return donor.model_copy(update={**changes, "params": {**donor.params, "finetune.epochs": epochs}})
