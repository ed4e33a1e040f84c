"""The Optuna study of a sweep: which trial comes next, and what became of it.

One study for all cells. Trial `n` belongs to cell `n % cells`, so its cell is known before it is asked for. The cell
(budget and grid, not the seed, which is noise) is a categorical parameter of the study, so that the sampler's model can
tell a budget's effect from a parameter's; every trial is enqueued with its cell fixed, the first of each cell also with
the sweep file's own values. A study for each cell would start from nothing at every budget: with a few suggestions in a
cell no sampler would get past its random start. A PartialFixedSampler takes the cell out of the sampler's sight, and
the budgets would be noise to its model (synthetic, 2 budgets x 12 trials, 4 seeds, summed loss of the best trials: GP
0.09 enqueued and 0.65 partially fixed, TPE 0.25 and 0.15, random 1.09).
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from ofb_ray import records
from ofb_ray.explored import suggestion_order
from ofb_ray.records import Record
from ofb_ray.spec import Json, Parameter, SweepSpec
from ofb_ray.tuning.folder import TRIAL_FILE, cell_label, cell_of, trial_total
from ofb_ray.tuning.metrics import objective_values, violations

JOURNAL = "study.journal"
CELL = "cell"
_PLAIN = (bool, int, float, str, type(None))


def open_study(results: Path, spec: SweepSpec) -> optuna.Study:
    """The sweep's study from its journal, made if there is none. The caller holds the driver's lock."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    path = results / JOURNAL
    _drop_torn_line(path)
    for suffix in (".lock", ".lock.rename"):  # left by a driver that was killed while it wrote
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))),
        study_name=spec.name,
        directions=[objective.goal for objective in spec.objectives],
        sampler=RandomSampler(seed=0),
        load_if_exists=True,
    )


def _drop_torn_line(path: Path) -> None:
    """A driver that died while it appended leaves half a line, after which every later append would be unreadable."""
    if not path.exists():
        return
    data = path.read_bytes()
    keep = data.rfind(b"\n") + 1
    if keep < len(data):
        with path.open("r+b") as file:
            file.truncate(keep)


class Suggestions:
    """Issues a sweep's trials by number and tells Optuna their records; study and trial folders are its only memory.

    Args:
        results: the results folder; the caller holds its driver's lock.
        spec: the sweep.
    """

    def __init__(self, results: Path, spec: SweepSpec) -> None:
        self.results, self.spec = results, spec
        self.total = trial_total(spec)
        self.study = open_study(results, spec)
        self._labels = list(dict.fromkeys(cell_label(cell) for cell in spec.cells))
        self._order = list(suggestion_order(spec.parameters))
        self._restore_lost()
        self._unfinished = self._settle()

    def next(self) -> int | None:
        """The number of the next trial to run, its folder and trial.json written; None when all are issued."""
        if self._unfinished:
            number = self._unfinished.pop(0)
            if not (records.trial_folder(self.results, number) / TRIAL_FILE).exists():
                trial_id = self.study.trials[number]._trial_id
                self._suggest(optuna.trial.Trial(self.study, trial_id))
            return number
        number = len(self.study.get_trials(deepcopy=False, states=_ISSUED))
        if number >= self.total:
            return None
        self.study.sampler = make_sampler(self.spec, number)
        if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial(self._fixed(number))
        self._suggest(self.study.ask())
        return number

    def tell(self, number: int) -> Record | None:
        """Pass trial `number`'s record to Optuna, if there is one; a trial without one stays open for a resume."""
        record = records.read_record(records.trial_folder(self.results, number))
        frozen = self.study.get_trials(deepcopy=False)[number]
        if record is None or frozen.state.is_finished():
            return record
        values = objective_values(self.spec, record)
        if values is None:
            state = TrialState.PRUNED if record.status == "stopped" else TrialState.FAIL
            self.study.tell(number, state=state)
            return record
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        if "constraints:budget" not in frozen.system_attrs:  # else a driver was killed between this and the next step
            for key, violation in violations(self.spec, record).items():
                trial.set_constraint(key, violation)
        self.study.tell(number, values)
        return record

    def _settle(self) -> list[int]:
        """Tell what finished while no driver was there; the numbers of the trials that were issued and are not done."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial.number for trial in running if self.tell(trial.number) is None and trial.number < self.total]

    def _restore_lost(self) -> None:
        """Put trials that have a folder but are not in the study (a lost journal) back, in order, with their values."""
        folders = records.trial_folders(self.results)
        for number in range(len(self.study.trials), 1 + max((int(folder.name) for folder in folders), default=-1)):
            path = records.trial_folder(self.results, number) / TRIAL_FILE
            params = json.loads(path.read_bytes())["params"] if path.exists() else {}
            self.study.enqueue_trial({**self._fixed(number), **{k: _choice(v) for k, v in params.items()}})
            self._suggest(self.study.ask())

    def _fixed(self, number: int) -> Json:
        """What Optuna must not choose: the cell, and for the first trial of each cell the sweep file's own values."""
        cell = cell_of(self.spec, number)
        fixed: Json = {CELL: cell_label(cell)}
        if number < len(self.spec.cells):
            tree = self.spec.trial(cell, {}).model_dump(mode="json")
            for key in self._order:
                value = _get(tree, key)
                if _inside(self.spec.parameters[key], value):
                    fixed[key] = _choice(value)
        return fixed

    def _suggest(self, trial: optuna.Trial) -> None:
        """Let Optuna fill in the parameters that apply and write the trial's folder."""
        cell = cell_of(self.spec, trial.number)
        trial.suggest_categorical(CELL, self._labels)
        params: Json = {}
        for key in self._order:
            parameter = self.spec.parameters[key]
            if _applies(parameter, {**cell, **params}):
                params[key] = _suggest(trial, key, parameter)
        spec = self.spec.trial(cell, params)
        tree = {
            "trial": trial.number,
            "sweep": self.spec.name,
            "key": spec.key,
            "cell": {**cell, "budget": cell["budget"].model_dump(exclude_none=True)},
            "label": cell_label(cell),
            "params": params,
            "spec": spec.model_dump(mode="json"),
        }
        records.write_json(records.trial_folder(self.results, trial.number) / TRIAL_FILE, tree)


_ISSUED = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def make_sampler(spec: SweepSpec, number: int) -> BaseSampler:
    """The sampler of trial `number`: seeded by the sweep's first seed and the trials so far, so that a resumed sweep
    neither repeats the start-up draws nor depends on where it was interrupted."""
    seed = int(np.random.SeedSequence([spec.seeds[0], number]).generate_state(1)[0])
    kind = spec.sampler
    conditional = any(parameter.when for parameter in spec.parameters.values())
    if kind == "auto":
        kind = "tpe" if conditional else "gp"
    if not spec.parameters or kind == "random":
        return RandomSampler(seed=seed)
    if kind == "tpe":
        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    if kind == "nsga2":
        return NSGAIISampler(seed=seed)
    return GPSampler(seed=seed, warn_independent_sampling=False)


def _suggest(trial: optuna.Trial, key: str, parameter: Parameter) -> Any:
    if parameter.values is not None:
        choice = trial.suggest_categorical(key, [_choice(value) for value in parameter.values])
        return next(value for value in parameter.values if _choice(value) == choice)
    assert parameter.min is not None
    assert parameter.max is not None
    if parameter.integer:
        return trial.suggest_int(key, int(parameter.min), int(parameter.max), log=parameter.log)
    return trial.suggest_float(key, parameter.min, parameter.max, log=parameter.log)


def _choice(value: Any) -> Any:
    """A value as Optuna can store it: lists and mappings as JSON text."""
    return value if isinstance(value, _PLAIN) else json.dumps(value, sort_keys=True)


def _inside(parameter: Parameter, value: Any) -> bool:
    if parameter.values is not None:
        return value in parameter.values
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    assert parameter.min is not None
    assert parameter.max is not None
    return bool(parameter.min <= value <= parameter.max)


def _applies(parameter: Parameter, known: Json) -> bool:
    """Whether the parameter's `when` holds; a condition on a parameter that does not apply itself does not hold."""
    for key, wanted in (parameter.when or {}).items():
        if key not in known or known[key] not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


def _get(tree: Json, dotted: str) -> Any:
    value: Any = tree
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
