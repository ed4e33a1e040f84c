"""Which trials of a chain may run: each waits until the search of the budget above has left its network.

A trial names in its trial.json the one that it `follows`. So that slots stay filled to the end of a sweep, one chain
more than there are slots is under way, and among the trials that may run the one with the most budgets below it goes
first. Fine-tuning is part of a trial and holds nobody up: the next budget's search starts beside it.
"""

from __future__ import annotations

import heapq

from ofb_ray.config import Json
from ofb_ray.results.cells import cell_key
from ofb_ray.results.files import TrialFile
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.records import Outcome


class Chains:
    """Follow the chains of a sweep; one without a chain has trials that wait for nothing.

    Args:
        index: the sweep's trials.
        slots: trials at a time.
    """

    def __init__(self, index: TrialIndex, slots: int = 1) -> None:
        self.index, self._slots = index, slots
        self._last = len(index.spec.budgets) - 1  # depth of a chain's last trial
        self._searched: set[int] = set()
        self._below: dict[int, int] = {}  # the number of a trial -> that of the trial which follows it
        self._heads = self._ended = 0
        # Trials whose search is done and that no trial follows yet, by depth in their chain, then by number.
        self._ends: list[tuple[int, int]] = []
        if index.spec.chain is None:
            return
        for trial in index.suggested:
            self.issued(trial)
        for trial in index.suggested:
            if index.outcome(trial.trial) is not None:
                self.searched(trial.trial)

    @property
    def may_begin(self) -> bool:
        """Whether another chain may begin before those that are under way have ended."""
        return self.index.spec.chain is None or self._heads - self._ended <= self._slots

    def issued(self, trial: TrialFile) -> None:
        """Take in a trial that was issued."""
        if self.index.spec.chain is None:
            return
        if trial.follows is None:
            self._heads += 1
        else:
            self._below[trial.follows] = trial.trial
        if self._depth(trial) == self._last:
            self._ended += 1

    def searched(self, number: int) -> None:
        """Take in that the search of a trial is done; also said again, and of a trial that has ended."""
        if self.index.spec.chain is None or number in self._searched:
            return
        self._searched.add(number)
        depth = self._depth(self.index.trial(number))
        if number not in self._below and depth < self._last:
            heapq.heappush(self._ends, (depth, number))

    def may_run(self, number: int) -> bool:
        """Whether trial `number` can start: at the dense network, or where its predecessor's search is done."""
        follows = self.index.trial(number).follows if self.index.is_issued(number) else None
        return follows is None or follows in self._searched

    def next_end(self) -> TrialFile | None:
        """Return a trial whose search is done and that the next budget's trial is to follow; None: there is none."""
        while self._ends and self._ends[0][1] in self._below:
            heapq.heappop(self._ends)
        return self.index.trial(self._ends[0][1]) if self._ends else None

    def next_cell(self, trial: TrialFile) -> Json:
        """Return the cell of the trial that is to follow `trial`."""
        below = self.index.spec.below(self.index.cell(cell_key(trial.cell)).values)
        assert below is not None
        return below

    def barred(self, number: int) -> str:
        """Say why a trial cannot run at all: a search above it in its chain has failed. Empty where it can."""
        first: TrialFile | None = None
        above = self.index.trial(number).follows
        while above is not None and self._failed(above):
            first = self.index.trial(above)
            above = first.follows
        outcome = None if first is None else self.index.outcome(first.trial)
        if first is None or outcome is None:
            return ""
        return f"its chain ended at budget {first.label}: trial {first.trial} failed: {outcome.reason}"

    def outcomes(self, head: int) -> list[Outcome] | None:
        """Return how the trials of the chain that begins with `head` ended; None while one is missing."""
        found: list[Outcome] = []
        number: int | None = head
        while number is not None:
            if (outcome := self.index.outcome(number)) is None:
                return None
            found.append(outcome)
            number = self._below.get(number)
        return found if len(found) == self._last + 1 else None

    def head(self, number: int) -> int:
        """Return the number of the first trial of a trial's chain."""
        while (follows := self.index.trial(number).follows) is not None:
            number = follows
        return number

    def _failed(self, number: int) -> bool:
        outcome = self.index.outcome(number)
        return outcome is not None and outcome.status == "failed" and not outcome.searched

    def _depth(self, trial: TrialFile) -> int:
        return len((trial.spec.get("chain") or {}).get("above", ()))
