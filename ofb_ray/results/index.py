"""Index the trials of a sweep: read once from its folder, then kept up to date in memory by the one driver."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ofb_ray.config import Json, SweepSpec
from ofb_ray.results.cells import cell_key, cell_label
from ofb_ray.results.facts import NOT_STARTED, TrialFacts, read_facts
from ofb_ray.results.files import Progress, TrialFile, trial_folder
from ofb_ray.results.records import Outcome


@dataclass
class Cell:
    """One cell of the sweep and how many trials it has.

    Args:
        key: `cell_key` of its values.
        values: budget, grid values and seed, as the spec has them.
        label: its values without the seed as short text.
        wanted: trials that it gets.
        count: trials that it has, issued or reserved.
    """

    key: str
    values: Json
    label: str
    wanted: int
    count: int = 0


@dataclass
class _Label:
    """The trials of all cells with one label: those without an outcome, those to come, and the others ranked."""

    cells: list[Cell] = field(default_factory=list)
    open: int = 0
    lacking: int = 0
    ranking: list[tuple[tuple[float, int], int]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.open and not self.lacking


class TrialIndex:
    """The trials of a sweep: which there are, how they ended, and which are still to come.

    The caller holds the driver's lock, so memory is the truth while it lives: whoever issues, closes or reopens a trial
    says so here, and no file is read again. No question but those that list trials takes longer with more of them.

    Args:
        results: the results folder.
        spec: the sweep.
        facts: its trials.
    """

    def __init__(self, results: Path, spec: SweepSpec, facts: Iterable[TrialFacts] = ()) -> None:
        self.results, self.spec = results, spec
        # By the number of the trial whose search it takes over: the number of a promoted trial.
        self.promoted: dict[int, int] = {}
        self.done = 0
        self._facts: dict[int, TrialFacts] = {}
        self._cells: dict[str, Cell] = {}
        self._labels: dict[str, _Label] = {}
        for values in spec.cells:
            cell = Cell(cell_key(values), values, cell_label(values), spec.wanted(values))
            self._cells[cell.key] = cell
            label = self._labels.setdefault(cell.label, _Label())
            label.cells.append(cell)
            label.lacking += cell.wanted
        self._lacking = sum(cell.wanted for cell in self._cells.values())
        # Cells by the trials they have, then by their order; entries whose count is no longer true are passed over.
        # A chain's later budgets have none: their trials come as the searches above them end.
        self._turns = [
            (0, position, cell) for position, cell in enumerate(self._cells.values()) if spec.leads(cell.values)
        ]
        self._positions = {cell.key: position for position, cell in enumerate(self._cells.values())}
        self._suggested: dict[int, str] = {}  # number -> label, of issued and reserved trials
        self._open = self._free = self._after = 0
        for fact in facts:
            self._add(fact)

    @classmethod
    def read(cls, results: Path, spec: SweepSpec, uri: str | None = None) -> TrialIndex:
        """Read the trials of a results folder.

        Args:
            results: the results folder; it need not exist.
            spec: the sweep.
            uri: of which `results` is the local copy, if any.

        Raises:
            InputError: a file of a trial cannot be read; names it.
        """
        return cls(results, spec, read_facts(results, uri))

    @property
    def facts(self) -> list[TrialFacts]:
        """All trials that have a folder, in the order of their numbers."""
        return [self._facts[number] for number in sorted(self._facts)]

    @property
    def suggested(self) -> list[TrialFile]:
        """The sweep's suggestions that have a trial.json, in the order of their numbers; promoted ones left out."""
        return [fact.trial for fact in self.facts if fact.trial is not None and fact.trial.issued]

    @property
    def labels(self) -> list[str]:
        """The labels of the sweep's cells, in their order."""
        return [label for label, group in self._labels.items() if group.cells]

    @property
    def suggestions(self) -> int:
        """Trials of the sweep without the promoted ones: those that there are, and those that cells lack."""
        return len(self._suggested) + self._lacking

    @property
    def suggestions_left(self) -> int:
        """Trials without the promoted ones that have no record yet, issued or not."""
        return self._open + self._lacking

    @property
    def promotions_left(self) -> int:
        """Promoted trials that have no record yet, issued or not, as far as budgets are complete."""
        return len(self.promoted_open()) + len(self.to_promote())

    @property
    def total(self) -> int:
        """Trials of the sweep, promoted ones included: as many as there are to be, as far as that is known."""
        total = self.suggestions + len(self.promoted)
        if self.spec.promote is None:
            return total
        incomplete = sum(not self._labels[label].complete for label in self.labels)
        return total + len(self.to_promote()) + self.spec.promote.best * incomplete

    def failed(self) -> list[int]:
        """List the numbers of the trials whose record says `failed`."""
        return [fact.number for fact in self.facts if fact.state == "failed"]

    def fact(self, number: int) -> TrialFacts:
        """Return what is known of trial `number`, which has a folder."""
        return self._facts[number]

    def trial(self, number: int) -> TrialFile:
        """Return the trial.json of trial `number`, which has one."""
        trial = self._facts[number].trial
        assert trial is not None, f"trial {number} has no trial.json"
        return trial

    def is_issued(self, number: int) -> bool:
        """Whether trial `number` has a trial.json."""
        return number in self._facts and self._facts[number].trial is not None

    def outcome(self, number: int) -> Outcome | None:
        """Return how trial `number` ended, None where it has no record."""
        return self._facts[number].outcome if number in self._facts else None

    def next_cell(self) -> Cell | None:
        """Return the cell whose turn it is, the first of those with the fewest trials; None where none lacks any.

        In a sweep with a chain it is one of the first budget's.
        """
        while self._turns:
            count, _, cell = self._turns[0]
            if count == cell.count and cell.count < cell.wanted:
                return cell
            heapq.heappop(self._turns)
        return None

    def cell(self, key: str) -> Cell:
        """Return the cell with this key."""
        return self._cells[key]

    def cells(self, label: str) -> list[Cell]:
        """Return the cells with this label, which differ in the seed."""
        return self._labels[label].cells

    def next_number(self) -> int:
        """Return the lowest number that no trial has."""
        while self._free in self._suggested or self.is_issued(self._free):
            self._free += 1
        return self._free

    def last_number(self) -> int:
        """Return the lowest number after all trials and folders, which a promoted trial gets."""
        return self._after

    def reserve(self, number: int, key: str) -> None:
        """Count trial `number`, which has no trial.json yet, to the cell with this key."""
        if number in self._suggested:
            return
        cell = self._cells.get(key)
        label = cell.label if cell else ""
        group = self._labels.setdefault(label, _Label())
        self._suggested[number] = label
        self._after = max(self._after, number + 1)
        if cell is not None:
            if cell.count < cell.wanted:
                group.lacking -= 1
                self._lacking -= 1
            cell.count += 1
            if self.spec.leads(cell.values):
                heapq.heappush(self._turns, (cell.count, self._positions[key], cell))
        outcome = self.outcome(number)
        if outcome is None:
            group.open += 1
            self._open += 1
        else:
            self._rank(group, number, outcome)

    def issue(self, trial: TrialFile) -> None:
        """Write the trial.json of a new trial and take the trial in.

        Raises:
            OSError: it cannot be written.
        """
        trial.write(trial_folder(self.results, trial.trial))
        self._add(TrialFacts(trial.trial, "waiting", trial))

    def close(self, number: int, outcome: Outcome | None) -> None:
        """Take in how trial `number` ended; without an outcome it stays open, with the progress that its folder tells.

        Raises:
            ValueError: progress.json is broken.
        """
        fact = self._facts[number]
        if outcome is None:
            progress = Progress.read(trial_folder(self.results, number)) or NOT_STARTED
            self._facts[number] = replace(fact, state="died" if progress.died else "waiting", progress=progress)
            return
        self._facts[number] = replace(fact, state=outcome.status, outcome=outcome)
        if fact.outcome is not None:
            return
        self.done += 1
        if number in self._suggested:
            group = self._labels[self._suggested[number]]
            group.open -= 1
            self._open -= 1
            self._rank(group, number, outcome)

    def reopen(self, number: int) -> None:
        """Take back how trial `number` ended: its record is gone, and it is to run again."""
        fact = self._facts[number]
        if fact.outcome is None:
            return
        self._facts[number] = replace(fact, state="waiting", progress=NOT_STARTED, outcome=None)
        self.done -= 1
        if number in self._suggested:
            group = self._labels[self._suggested[number]]
            group.open += 1
            self._open += 1
            group.ranking = [entry for entry in group.ranking if entry[1] != number]

    def promoted_open(self) -> list[int]:
        """List the promoted trials that were issued and have no record, in the order of their numbers."""
        return sorted(number for number in self.promoted.values() if self.outcome(number) is None)

    def to_promote(self) -> list[int]:
        """List the trials to promote that are not promoted yet: of each label whose trials are all done the best.

        Best is the highest held-out top-1, then the lowest cost, among those that finished and met their budget.
        """
        if self.spec.promote is None:
            return []
        best = self.spec.promote.best
        groups = (self._labels[label] for label in self.labels)
        ranked = [number for group in groups if group.complete for _, number in group.ranking[:best]]
        return [number for number in ranked if number not in self.promoted]

    def _add(self, fact: TrialFacts) -> None:
        known = self._facts.get(fact.number)
        self._facts[fact.number] = fact
        self._after = max(self._after, fact.number + 1)
        self.done += (fact.outcome is not None) - (known is not None and known.outcome is not None)
        if fact.trial is None:
            return
        if fact.trial.promotes is not None:
            self.promoted[fact.trial.promotes] = fact.number
        elif fact.trial.issued:
            self.reserve(fact.number, cell_key(fact.trial.cell))

    def _rank(self, group: _Label, number: int, outcome: Outcome) -> None:
        if (merit := outcome.merit) is not None:
            bisect.insort(group.ranking, (merit, number))
