"""Suggest a sweep's trials by an Optuna study, and tell the study how they ended.

One study for all cells. A new trial belongs to the cell with the fewest trials, so that a sweep that starts gives its
cells a turn each, and one that is extended goes on fairly without renumbering. The cell (budget and grid, not the seed,
which is noise) is a categorical parameter of the study, so that the sampler's model can tell a budget's effect from a
parameter's; every trial is enqueued with its cell fixed, the first of each cell also with the sweep file's own values,
the next ones with its points. A study for each cell would start from nothing at every budget: with a few suggestions in
a cell no sampler would get past its random start. A PartialFixedSampler takes the cell out of the sampler's sight, and
the budgets would be noise to its model (synthetic, 2 budgets x 12 trials, 4 seeds, summed loss of the best trials: GP
0.09 enqueued and 0.65 partially fixed, TPE 0.25 and 0.15, random 1.09).

In a sweep with a chain the sampler suggests for the first budget's trials; those that follow have the same values.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import BaseGASampler, RandomSampler
from optuna.trial import TrialState

from ofb_ray.config import Json, Parameter, SweepSpec
from ofb_ray.config.space import applies, expand_all, suggestion_order
from ofb_ray.results.cells import cell_key, plain_cell
from ofb_ray.results.files import TrialFile
from ofb_ray.results.index import Cell, TrialIndex
from ofb_ray.results.records import Outcome
from ofb_ray.tuning.lifecycle.chains import Chains
from ofb_ray.tuning.optuna.distributions import CELL, as_choice, labels
from ofb_ray.tuning.optuna.ends import RUNNING, End, end_in_study, tells_chains
from ofb_ray.tuning.optuna.given import Given
from ofb_ray.tuning.optuna.journal import FOLLOWS, FROM, NUMBER, PLACE, agrees, begin_trial, derive, open_study, rebuild
from ofb_ray.tuning.optuna.samplers import make_sampler
from ofb_ray.tuning.optuna.warm_start import warm_trials


@dataclass(frozen=True)
class StudyTrial:
    """A trial of the sweep in Optuna's study.

    Args:
        number: Optuna's own, which counts warm-start trials, too.
        id: Optuna's key in its storage.
        cell: the key of its cell.
    """

    number: int
    id: int
    cell: str


class Suggestions:
    """Issue a sweep's trials by number and tell Optuna how they ended.

    The study's trials carry the number of their folder as user attribute: Optuna numbers its trials by itself, and
    those of a warm start have no folder. Make one with `open`.

    Args:
        index: the sweep's trials; the caller holds its driver's lock.
        study: Optuna's study, which agrees with the index.
        trials: the sweep's trials in the study, by the number of their folder.
        chains: which of them may run.
        notes: lines for the user.
    """

    def __init__(
        self,
        index: TrialIndex,
        study: optuna.Study,
        trials: dict[int, StudyTrial],
        chains: Chains,
        notes: Iterable[str] = (),
    ) -> None:
        self.study, self.notes = study, list(notes)
        self.index, self._trials = index, trials
        self._chains, self._given = chains, Given(index)
        self._order = list(suggestion_order(index.spec.parameters))
        issued = {trial.trial for trial in index.suggested}
        self._waiting = sorted(number for number in issued | trials.keys() if index.outcome(number) is None)
        # Trials that start at the dense network, whose values are the sampler's: their order seeds it.
        self._heads = sorted(trial.trial for trial in index.suggested if trial.follows is None)

    @classmethod
    def open(cls, index: TrialIndex, slots: int = 1) -> Suggestions:
        """Open the sweep's study, or derive it from the trials where it disagrees with them, and bring it up to date.

        Args:
            index: the sweep's trials; the caller holds its driver's lock.
            slots: trials at a time.

        Raises:
            InputError: a folder to start warm from is none.
            OSError: the study's journal cannot be written.
        """
        spec, chains = index.spec, Chains(index, slots)
        warm, notes = warm_trials(spec, index.results)
        study = open_study(index.results, spec)

        def end(number: int) -> End:
            return end_in_study(index, chains, number)

        if study is None or not agrees(study, index, {trial.user_attrs[FROM] for trial in warm}, end):
            study = rebuild(index.results, spec, derive(index, end, warm))
        while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.ask()  # enqueued by the driver of an earlier version
        trials: dict[int, StudyTrial] = {}
        for trial in study.get_trials(deepcopy=False):
            if NUMBER in trial.user_attrs:
                number, key = int(trial.user_attrs[NUMBER]), cell_key(trial.user_attrs[PLACE])
                index.reserve(number, key)
                trials[number] = mine = StudyTrial(trial.number, trial._trial_id, key)
                ended = end(number) if index.is_issued(number) else RUNNING
                if ended != RUNNING and not trial.state.is_finished():  # it ended while no driver was there
                    # A driver may have been killed between the constraints and the end.
                    _tell(study, mine, ended, "constraints:budget" in trial.system_attrs)
        return cls(index, study, trials, chains, notes)

    @property
    def spec(self) -> SweepSpec:
        """The sweep."""
        return self.index.spec

    @property
    def left(self) -> int:
        """Trials that have no record yet, issued or not; promoted ones left out."""
        return self.index.suggestions_left

    def next(self) -> TrialFile | None:
        """Issue the next trial to run, its trial.json written; None when all are issued, or wait for running ones.

        Raises:
            OSError: it cannot be written.
        """
        for number in self._waiting:
            if self._chains.may_run(number):
                self._waiting.remove(number)
                return self.index.trial(number) if self.index.is_issued(number) else self._suggest(number)
        cell = self.index.next_cell()
        if cell is not None and self._chains.may_begin:
            return self._ask(cell)
        above = self._chains.next_end()
        return None if above is None else self._follow(above)

    def searched(self, number: int) -> None:
        """Take in that the search of trial `number` is done: in a chain the next budget's may begin."""
        self._chains.searched(number)

    def barred(self, number: int) -> str:
        """Say why trial `number` cannot run at all: its chain has ended above it. Empty where it can."""
        return self._chains.barred(number)

    def _follow(self, above: TrialFile) -> TrialFile:
        """Issue the trial of the next budget in the chain of `above`, with the same values."""
        cell = self.index.cell(cell_key(self._chains.next_cell(above)))
        if not tells_chains(self.spec):
            return self._ask(cell, above)
        number = self.index.next_number()
        self.index.reserve(number, cell.key)
        return self._issue(number, cell, above.params, above.trial)

    def _ask(self, cell: Cell, above: TrialFile | None = None) -> TrialFile:
        number, fixed = self.index.next_number(), self._given.fixed(cell, above)
        self.index.reserve(number, cell.key)
        attributes = {NUMBER: number, PLACE: plain_cell(cell.values)}
        if above is not None:
            attributes[FOLLOWS] = above.trial
        self._trials[number] = StudyTrial(*begin_trial(self.study, fixed, attributes), cell.key)
        return self._suggest(number)

    def close(self, number: int, outcome: Outcome | None) -> None:
        """Tell Optuna how trial `number` ended; without an outcome it stays open for a later launch."""
        known = self.index.outcome(number)
        self.index.close(number, outcome)
        if outcome is None or known is not None:
            return
        self._chains.searched(number)
        told = self._chains.head(number) if tells_chains(self.spec) else number
        if (end := end_in_study(self.index, self._chains, told)) != RUNNING:
            _tell(self.study, self._trials[told], end)

    def reissue(self, numbers: Iterable[int]) -> None:
        """Have `next` issue trials again that are still open."""
        self._waiting = sorted({*self._waiting, *numbers})

    def _suggest(self, number: int) -> TrialFile:
        """Let Optuna fill in the parameters that apply and write the trial's folder."""
        mine = self._trials[number]
        cell = self.index.cell(mine.cell)
        if self.spec.leads(cell.values) and number not in self._heads:
            bisect.insort(self._heads, number)
        # In a chain the order of the numbers is that in which searches end.
        place = number if self.spec.chain is None else bisect.bisect_left(self._heads, number)
        sampler = make_sampler(self.spec, place, cell.label, self._given.drawn(cell.label))
        if isinstance(sampler, BaseGASampler):  # it would leave trials whose values are all given out of its population
            sampler.get_trial_generation(self.study, self.study.get_trials(deepcopy=False)[mine.number])
        self.study.sampler = sampler
        trial = optuna.trial.Trial(self.study, mine.id)
        trial.suggest_categorical(CELL, labels(self.spec))
        values: Json = {}
        for key in self._order:
            parameter = self.spec.parameters[key]
            if applies(parameter, {**cell.values, **values}):
                values[key] = _suggest(trial, key, parameter)
        return self._issue(number, cell, expand_all(values), trial.user_attrs.get(FOLLOWS))

    def _issue(self, number: int, cell: Cell, params: Json, follows: int | None) -> TrialFile:
        """Write the folder of a trial whose values are known."""
        spec = self.spec.trial(cell.values, params)
        file = TrialFile(
            trial=number,
            sweep=self.spec.name,
            key=spec.key,
            cell=plain_cell(cell.values),
            label=cell.label,
            params=params,
            spec=spec.model_dump(mode="json"),
            **({} if follows is None else {"follows": follows}),
        )
        self.index.issue(file)
        self._chains.issued(file)
        return file


def _tell(study: optuna.Study, mine: StudyTrial, end: End, constrained: bool = False) -> None:
    """Tell the study how a trial ended that it knows as running; `constrained`: it knows the constraints already."""
    if end.violations is not None and not constrained:
        study.sampler = RandomSampler(seed=0)  # the Trial below would let the one in place suggest once more
        trial = optuna.trial.Trial(study, mine.id)
        for key, violation in end.violations.items():
            trial.set_constraint(key, violation)
    study.tell(mine.number, end.values, state=end.state)


def _suggest(trial: optuna.Trial, key: str, parameter: Parameter) -> Any:
    if parameter.values is not None:
        choice = trial.suggest_categorical(key, [as_choice(value) for value in parameter.values])
        return next(value for value in parameter.values if as_choice(value) == choice)
    assert parameter.min is not None
    assert parameter.max is not None
    if parameter.integer:
        return trial.suggest_int(key, int(parameter.min), int(parameter.max), log=parameter.log)
    return trial.suggest_float(key, parameter.min, parameter.max, log=parameter.log)
