"""The Optuna study of a sweep: which trial comes next, and what became of it.

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

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseGASampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from ofb_ray.config import Json, Parameter, SweepSpec
from ofb_ray.config.space import applies, collect, expand_all, grid_points, inside, suggestion_order, value_at
from ofb_ray.results import records
from ofb_ray.results.atomic import write_json
from ofb_ray.results.files import JOURNAL_FILE, RECORD_FILE, TRIAL_FILE, trial_folder
from ofb_ray.results.folder import cell_key, cell_label, issued, plain_cell, promoted
from ofb_ray.results.records import Record
from ofb_ray.tuning.optuna.distributions import CELL, as_choice, labels
from ofb_ray.tuning.optuna.journal import FROM, NUMBER, PLACE, agrees, end_of, frozen, open_study, rebuild
from ofb_ray.tuning.optuna.metrics import violations
from ofb_ray.tuning.optuna.samplers import make_sampler, with_generations
from ofb_ray.tuning.optuna.warm_start import warm_trials

__all__ = ["JOURNAL_FILE", "Suggestions"]


class Suggestions:
    """Issues a sweep's trials by number and tells Optuna their records; the trial folders are its memory.

    The study's trials carry the number of their folder as user attribute: Optuna numbers its trials by itself, and
    those of a warm start have no folder. The journal is derived from the folders again where it disagrees with them.

    Args:
        results: the results folder; the caller holds its driver's lock.
        spec: the sweep.
    """

    def __init__(self, results: Path, spec: SweepSpec) -> None:
        self.results, self.spec = results, spec
        self._order = list(suggestion_order(spec.parameters))
        self._cells = {cell_key(cell): cell for cell in spec.cells}
        trees = issued(results)
        warm, self.notes = warm_trials(spec, results)
        study = open_study(results, spec)
        if study is None or not agrees(study, spec, trees, results, {trial.user_attrs[FROM] for trial in warm}):
            study = rebuild(results, spec, self._derive(warm, trees))
        self.study = study
        while self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.ask()  # enqueued by a driver that was killed before it asked
        own = [trial for trial in self.study.get_trials(deepcopy=False) if NUMBER in trial.user_attrs]
        self._trials = {int(trial.user_attrs[NUMBER]): trial.number for trial in own}
        self._places = {int(trial.user_attrs[NUMBER]): cell_key(trial.user_attrs[PLACE]) for trial in own}
        self._unfinished = self._settle()
        self.total = len(self._trials) + sum(self._lacking().values())

    @property
    def left(self) -> int:
        """Trials that have no record yet, issued or not."""
        done = sum((trial_folder(self.results, each) / RECORD_FILE).exists() for each in self._trials)
        return len(self._trials) - done + sum(self._lacking().values())

    def next(self) -> int | None:
        """The number of the next trial to run, its folder and trial.json written; None when all are issued."""
        if self._unfinished:
            number = self._unfinished.pop(0)
            if not (trial_folder(self.results, number) / TRIAL_FILE).exists():
                self._suggest(number)
            return number
        lacking = self._lacking()
        if not lacking:
            return None
        counts = Counter(self._places.values())
        place = min(lacking, key=lambda key: counts[key])
        taken = {*self._trials, *promoted(self.results)}
        number = next(number for number in itertools.count() if number not in taken)
        cell = self._cells[place]
        attributes = {NUMBER: number, PLACE: plain_cell(cell)}
        self.study.enqueue_trial(self._fixed(cell, counts[place]), user_attrs=attributes)
        self.study.sampler = RandomSampler(seed=0)  # `_suggest` puts the trial's own in place
        self._trials[number], self._places[number] = self.study.ask().number, place
        self._suggest(number)
        return number

    def tell(self, number: int) -> Record | None:
        """Pass trial `number`'s record to Optuna, if there is one; a trial without one stays open for a resume."""
        record = records.read_record(trial_folder(self.results, number))
        known = self._frozen(number)
        if record is None or known.state.is_finished():
            return record
        state, values = end_of(self.spec, record)
        # Else a driver was killed between this and the next step.
        if values is not None and "constraints:budget" not in known.system_attrs:
            trial = optuna.trial.Trial(self.study, known._trial_id)
            for key, violation in violations(self.spec, record).items():
                trial.set_constraint(key, violation)
        self.study.tell(known.number, values, state=state)
        return record

    def _frozen(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[self._trials[number]]

    def _settle(self) -> list[int]:
        """Tell what finished while no driver was there; the numbers of the trials that were issued and are not done."""
        running = [number for number in sorted(self._trials) if not self._frozen(number).state.is_finished()]
        return [number for number in running if self.tell(number) is None]

    def _lacking(self) -> dict[str, int]:
        """The cells that lack trials, in their order, and how many."""
        counts = Counter(self._places.values())
        lacking = {key: self.spec.wanted(cell) - counts[key] for key, cell in self._cells.items()}
        return {key: count for key, count in lacking.items() if count > 0}

    def _derive(self, warm: list[FrozenTrial], trees: dict[int, Json]) -> list[FrozenTrial]:
        """The study's trials as warm start and trial folders tell them."""
        trials = list(warm)
        for number, tree in trees.items():
            record = records.read_record(trial_folder(self.results, number))
            values = collect(tree["params"], self._order)
            trials.append(frozen(self.spec, record, tree["label"], values, {NUMBER: number, PLACE: tree["cell"]}))
        return with_generations(self.spec, trials)

    def _fixed(self, cell: Json, position: int) -> Json:
        """What Optuna must not choose for the `position`-th trial of a cell: the cell, own values, a point."""
        return {CELL: cell_label(cell)} | {key: as_choice(value) for key, value in self._given(cell, position).items()}

    def _given(self, cell: Json, position: int) -> Json:
        if self.spec.sampler.name == "grid":
            place, trees = cell_key(cell), issued(self.results).values()
            tried = [tree["params"] for tree in trees if cell_key(tree["cell"]) == place]
            points = grid_points(self.spec.parameters, cell)
            return next(point for point in points if expand_all(point) not in tried)
        if position == 0:
            tree = self.spec.trial(cell, {}).model_dump(mode="json")
            own = {key: value_at(tree, key) for key in self._order}
            return {key: value for key, value in own.items() if inside(self.spec.parameters[key], value)}
        return self.spec.points[position - 1] if position <= len(self.spec.points) else {}

    def _drawn(self, number: int) -> int:
        """How many trials with the label of trial `number` were suggested before it, seeds taken together."""
        label = cell_label(self._cells[self._places[number]])
        same = Counter(place for place in self._places.values() if cell_label(self._cells[place]) == label)
        suggested = sum(max(0, count - 1 - len(self.spec.points)) for count in same.values())
        return max(0, suggested - 1)  # itself

    def _suggest(self, number: int) -> None:
        """Let Optuna fill in the parameters that apply and write the trial's folder."""
        cell = self._cells[self._places[number]]
        sampler = make_sampler(self.spec, number, cell_label(cell), self._drawn(number))
        if isinstance(sampler, BaseGASampler):  # it would leave trials whose values are all given out of its population
            sampler.get_trial_generation(self.study, self._frozen(number))
        self.study.sampler = sampler
        trial = optuna.trial.Trial(self.study, self._frozen(number)._trial_id)
        trial.suggest_categorical(CELL, labels(self.spec))
        values: Json = {}
        for key in self._order:
            parameter = self.spec.parameters[key]
            if applies(parameter, {**cell, **values}):
                values[key] = _suggest(trial, key, parameter)
        params = expand_all(values)
        spec = self.spec.trial(cell, params)
        tree = {
            "trial": number,
            "sweep": self.spec.name,
            "key": spec.key,
            "cell": plain_cell(cell),
            "label": cell_label(cell),
            "params": params,
            "spec": spec.model_dump(mode="json"),
        }
        write_json(trial_folder(self.results, number) / TRIAL_FILE, tree)


def _suggest(trial: optuna.Trial, key: str, parameter: Parameter) -> Any:
    if parameter.values is not None:
        choice = trial.suggest_categorical(key, [as_choice(value) for value in parameter.values])
        return next(value for value in parameter.values if as_choice(value) == choice)
    assert parameter.min is not None
    assert parameter.max is not None
    if parameter.integer:
        return trial.suggest_int(key, int(parameter.min), int(parameter.max), log=parameter.log)
    return trial.suggest_float(key, parameter.min, parameter.max, log=parameter.log)
