"""Say what a source of trials does, a sweep's suggestions or its promotions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ofb_ray.config import SweepSpec
from ofb_ray.results.files import TrialFile
from ofb_ray.results.records import Outcome


class TrialSource(Protocol):
    """Issues trials one by one and takes in how they ended."""

    @property
    def spec(self) -> SweepSpec:
        """The sweep."""

    @property
    def left(self) -> int:
        """Trials of this source that have no record yet, issued or not."""

    def next(self) -> TrialFile | None:
        """Issue the next trial to run, its trial.json written; None when all are issued, or wait for running ones.

        Raises:
            OSError: it cannot be written.
        """

    def searched(self, number: int) -> None:
        """Take in that the search of trial `number`, which runs, is done: others may go on from it."""

    def barred(self, number: int) -> str:
        """Say why a trial that `next` has issued cannot run at all; empty where it can."""

    def close(self, number: int, outcome: Outcome | None) -> None:
        """Take in how trial `number` ended; without an outcome it stays open for a later launch."""

    def reissue(self, numbers: Iterable[int]) -> None:
        """Have `next` issue trials that were issued before and are still open, in the order of their numbers."""
