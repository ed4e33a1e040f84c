"""Suggest a sweep's trials by an Optuna study, and tell the study how they ended.

One study for all cells. A new trial belongs to the cell with the fewest trials, so that a sweep that starts gives its
cells a turn each, and one that is extended goes on fairly without renumbering. The cell (budget and grid, not the seed,
which is noise) is a categorical parameter of the study, so that the sampler's model can tell a budget's effect from a
parameter's; every trial is enqueued with its cell fixed, the first of each cell also with the sweep file's own values,
the next ones with its points. A study for each cell would start from nothing at every budget: with a few suggestions in
a cell no sampler would get past its random start. A PartialFixedSampler takes the cell out of the sampler's sight, and
the budgets would be noise to its model (synthetic, 2 budgets x 12 trials, 4 seeds, summed loss of the best trials: GP
0.09 enqueued and 0.65 partially fixed, TPE 0.25 and 0.15, random 1.09).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import BaseGASampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from ofb_ray.config import Json, Parameter, SweepSpec
from ofb_ray.config.space import applies, collect, expand_all, grid_points, inside, suggestion_order, value_at
from ofb_ray.results.cells import cell_key, plain_cell
from ofb_ray.results.files import TrialFile
from ofb_ray.results.index import Cell, TrialIndex
from ofb_ray.results.records import Outcome
from ofb_ray.tuning.optuna.distributions import CELL, as_choice
from ofb_ray.tuning.optuna.journal import FROM, NUMBER, PLACE, agrees, end_of, frozen, open_study, rebuild
from ofb_ray.tuning.optuna.metrics import violations
from ofb_ray.tuning.optuna.samplers import make_sampler, with_generations
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
        notes: lines for the user.
    """

    def __init__(
        self, index: TrialIndex, study: optuna.Study, trials: dict[int, StudyTrial], notes: Iterable[str] = ()
    ) -> None:
        self.study, self.notes = study, list(notes)
        self.index, self._trials = index, trials
        self._order = list(suggestion_order(index.spec.parameters))
        self._waiting = sorted(number for number in trials if index.outcome(number) is None)
        self._points: dict[str, Iterator[Json]] = {}

    @classmethod
    def open(cls, index: TrialIndex) -> Suggestions:
        """Open the sweep's study, or derive it from the trials where it disagrees with them, and bring it up to date.

        Args:
            index: the sweep's trials; the caller holds its driver's lock.

        Raises:
            InputError: a folder to start warm from is none.
            OSError: the study's journal cannot be written.
        """
        spec = index.spec
        warm, notes = warm_trials(spec, index.results)
        study = open_study(index.results, spec)
        if study is None or not agrees(study, index, {trial.user_attrs[FROM] for trial in warm}):
            study = rebuild(index.results, spec, _derive(index, warm))
        while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.ask()  # enqueued by a driver that was killed before it asked
        trials: dict[int, StudyTrial] = {}
        for trial in study.get_trials(deepcopy=False):
            if NUMBER in trial.user_attrs:
                number, key = int(trial.user_attrs[NUMBER]), cell_key(trial.user_attrs[PLACE])
                index.reserve(number, key)
                trials[number] = mine = StudyTrial(trial.number, trial._trial_id, key)
                outcome = index.outcome(number)
                if outcome is not None and not trial.state.is_finished():  # it ended while no driver was there
                    # A driver may have been killed between the constraints and the end.
                    _tell(study, spec, mine, outcome, "constraints:budget" in trial.system_attrs)
        return cls(index, study, trials, notes)

    @property
    def spec(self) -> SweepSpec:
        """The sweep."""
        return self.index.spec

    @property
    def left(self) -> int:
        """Trials that have no record yet, issued or not; promoted ones left out."""
        return self.index.suggestions_left

    def next(self) -> TrialFile | None:
        """Issue the next trial to run, its trial.json written; None when all are issued.

        Raises:
            OSError: it cannot be written.
        """
        if self._waiting:
            number = self._waiting.pop(0)
            return self.index.trial(number) if self.index.is_issued(number) else self._suggest(number)
        cell = self.index.next_cell()
        if cell is None:
            return None
        number, fixed = self.index.next_number(), self._fixed(cell)
        self.index.reserve(number, cell.key)
        attributes = {NUMBER: number, PLACE: plain_cell(cell.values)}
        self.study.enqueue_trial(fixed, user_attrs=attributes)
        self.study.sampler = RandomSampler(seed=0)  # `_suggest` puts the trial's own in place
        trial = self.study.ask()
        self._trials[number] = StudyTrial(trial.number, trial._trial_id, cell.key)
        return self._suggest(number)

    def close(self, number: int, outcome: Outcome | None) -> None:
        """Tell Optuna how trial `number` ended; without an outcome it stays open for a later launch."""
        known = self.index.outcome(number)
        self.index.close(number, outcome)
        if outcome is not None and known is None:
            _tell(self.study, self.spec, self._trials[number], outcome)

    def reissue(self, numbers: Iterable[int]) -> None:
        """Have `next` issue trials again that are still open."""
        self._waiting = sorted({*self._waiting, *numbers})

    def _fixed(self, cell: Cell) -> Json:
        """Return what Optuna must not choose for the next trial of a cell: the cell, the file's own values, a point."""
        return {CELL: cell.label} | {key: as_choice(value) for key, value in self._given(cell).items()}

    def _given(self, cell: Cell) -> Json:
        spec = self.spec
        if spec.sampler.name == "grid":
            return next(self._untried(cell))
        if cell.count == 0:
            first = spec.trial(cell.values, {})
            # What the file leaves to the recipe has a value, too.
            tree = first.model_copy(update={"search": first.search.effective}).model_dump(mode="json")
            own = {key: value_at(tree, key) for key in self._order}
            return {key: value for key, value in own.items() if inside(spec.parameters[key], value)}
        return spec.points[cell.count - 1] if cell.count <= len(spec.points) else {}

    def _untried(self, cell: Cell) -> Iterator[Json]:
        """Return the points of the grid that no trial of the cell has; each is given once."""
        if not self._points:
            tried = {(cell_key(trial.cell), _text(trial.params)) for trial in self.index.suggested}
            for key in {each.key for label in self.index.labels for each in self.index.cells(label)}:
                points = grid_points(self.spec.parameters, self.index.cell(key).values)
                self._points[key] = iter([point for point in points if (key, _text(expand_all(point))) not in tried])
        return self._points[cell.key]

    def _drawn(self, label: str) -> int:
        """Count the trials with this label that were suggested before the last one, seeds taken together."""
        given = 1 + len(self.spec.points)
        return max(0, sum(max(0, cell.count - given) for cell in self.index.cells(label)) - 1)

    def _suggest(self, number: int) -> TrialFile:
        """Let Optuna fill in the parameters that apply and write the trial's folder."""
        mine = self._trials[number]
        cell = self.index.cell(mine.cell)
        sampler = make_sampler(self.spec, number, cell.label, self._drawn(cell.label))
        if isinstance(sampler, BaseGASampler):  # it would leave trials whose values are all given out of its population
            sampler.get_trial_generation(self.study, self.study.get_trials(deepcopy=False)[mine.number])
        self.study.sampler = sampler
        trial = optuna.trial.Trial(self.study, mine.id)
        trial.suggest_categorical(CELL, self.index.labels)
        values: Json = {}
        for key in self._order:
            parameter = self.spec.parameters[key]
            if applies(parameter, {**cell.values, **values}):
                values[key] = _suggest(trial, key, parameter)
        params = expand_all(values)
        spec = self.spec.trial(cell.values, params)
        file = TrialFile(
            trial=number,
            sweep=self.spec.name,
            key=spec.key,
            cell=plain_cell(cell.values),
            label=cell.label,
            params=params,
            spec=spec.model_dump(mode="json"),
        )
        self.index.issue(file)
        return file


def _derive(index: TrialIndex, warm: list[FrozenTrial]) -> list[FrozenTrial]:
    """Make the study's trials from those of a warm start and from the index."""
    trials, order = list(warm), list(suggestion_order(index.spec.parameters))
    for trial in index.suggested:
        values = collect(trial.params, order)
        attributes = {NUMBER: trial.trial, PLACE: trial.cell}
        trials.append(frozen(index.spec, index.outcome(trial.trial), trial.label, values, attributes))
    return with_generations(index.spec, trials)


def _tell(study: optuna.Study, spec: SweepSpec, mine: StudyTrial, outcome: Outcome, constrained: bool = False) -> None:
    """Tell the study how a trial ended that it knows as running; `constrained`: it knows the constraints already."""
    state, values = end_of(spec, outcome)
    if values is not None and not constrained:
        study.sampler = RandomSampler(seed=0)  # the Trial below would let the one in place suggest once more
        trial = optuna.trial.Trial(study, mine.id)
        for key, violation in violations(spec, outcome).items():
            trial.set_constraint(key, violation)
    study.tell(mine.number, values, state=state)


def _text(params: Json) -> str:
    """Return a text that is equal for equal explored values, of a grid's point or of a trial.json."""
    return json.dumps(params, sort_keys=True)


def _suggest(trial: optuna.Trial, key: str, parameter: Parameter) -> Any:
    if parameter.values is not None:
        choice = trial.suggest_categorical(key, [as_choice(value) for value in parameter.values])
        return next(value for value in parameter.values if as_choice(value) == choice)
    assert parameter.min is not None
    assert parameter.max is not None
    if parameter.integer:
        return trial.suggest_int(key, int(parameter.min), int(parameter.max), log=parameter.log)
    return trial.suggest_float(key, parameter.min, parameter.max, log=parameter.log)
