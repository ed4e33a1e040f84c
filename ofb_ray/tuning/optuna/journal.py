"""Keep the study on file: a plain Optuna journal, derived from the trial folders and made again where it is lost."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from ofb_ray.config import Json, SweepSpec
from ofb_ray.config.space import collect, suggestion_order
from ofb_ray.errors import InputError
from ofb_ray.results.files import JOURNAL_FILE
from ofb_ray.results.index import TrialIndex
from ofb_ray.tuning.optuna.distributions import CELL, as_choice, distributions, labels
from ofb_ray.tuning.optuna.ends import RUNNING, End, directions, is_told
from ofb_ray.tuning.optuna.samplers import with_generations

# Of a study's trial: the number of its folder and its cell, or the folder of another sweep that it comes from; in a
# chain the number of the trial that it follows.
NUMBER, PLACE, FROM, FOLLOWS = "trial", "place", "from", "follows"


def open_study(results: Path, spec: SweepSpec) -> optuna.Study | None:
    """Open the sweep's study from its journal, made if there is none; None where the journal is not this sweep's.

    The caller holds the driver's lock.
    """
    quiet()
    path = results / JOURNAL_FILE
    _drop_torn_line(path)
    try:
        study = _study(path, spec)
    except (ValueError, KeyError):  # a power cut may leave a block of zeros
        return None
    return study if optuna.get_all_study_names(_storage(path)) == [spec.name] else None


def check_owner(results: Path, spec: SweepSpec) -> None:
    """Refuse a journal that another sweep wrote.

    Raises:
        InputError: see above.
    """
    quiet()
    path = results / JOURNAL_FILE
    if not path.exists():
        return
    _drop_torn_line(path)
    try:
        names = optuna.get_all_study_names(_storage(path))
    except (ValueError, KeyError):
        return  # unreadable: it is made again from the trials
    if names and spec.name not in names:
        raise InputError(
            f"is the study of sweep {names[0]!r}: give --name, or remove the file (it is made again from the trials)",
            file=str(path),
        )


def quiet() -> None:
    """Silence what Optuna tells its own developers."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _study(path: Path, spec: SweepSpec) -> optuna.Study:
    for suffix in (".lock", ".lock.rename"):  # left by a driver that was killed while it wrote
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return optuna.create_study(
        storage=_storage(path),
        study_name=spec.name,
        directions=directions(spec),
        sampler=RandomSampler(seed=0),
        load_if_exists=True,
    )


def begin_trial(study: optuna.Study, fixed: Json, attributes: Json) -> tuple[int, int]:
    """Begin a trial with some values fixed; return Optuna's number and its key in the storage.

    Study.enqueue_trial and Study.ask do the same, but ask looks for the waiting trial among all that there are.
    """
    study._thread_local.cached_all_trials = None
    template = optuna.create_trial(
        state=TrialState.RUNNING, system_attrs={"fixed_params": fixed}, user_attrs=attributes
    )
    key = study._storage.create_new_trial(study._study_id, template_trial=template)
    return study._storage.get_trial_number_from_id(key), key


class _Journal(JournalFileBackend):
    """A journal that waits neither for the disk nor for a lock.

    The driver's lock keeps others out, and after a power cut the study is derived from the trial folders, which did
    wait for the disk.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs)
        with self._path.open("ab") as file:
            file.write(lines.encode())


def _storage(path: Path) -> JournalStorage:
    return JournalStorage(_Journal(path))


def _drop_torn_line(path: Path) -> None:
    """Cut off half a line, which a driver leaves that died while it appended: later lines would be unreadable."""
    if not path.exists():
        return
    data = path.read_bytes()
    keep = data.rfind(b"\n") + 1
    if keep < len(data):
        with path.open("r+b") as file:
            file.truncate(keep)


def rebuild(results: Path, spec: SweepSpec, trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Put a new journal with `trials` in the place of the old one, whole or not at all."""
    quiet()
    path = results / JOURNAL_FILE
    fresh = path.with_name(f"{JOURNAL_FILE}.new")
    fresh.unlink(missing_ok=True)
    _study(fresh, spec).add_trials(trials)
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(path)
    return _study(path, spec)


def agrees(study: optuna.Study, index: TrialIndex, warm: set[str], ends: Callable[[int], End]) -> bool:
    """Whether a study tells what the trial folders tell: else it is derived from them anew.

    It may know trials that were given out and have no folder yet, and miss how a trial ended, but not claim an end that
    no record shows (one that is to be tried again), nor lack a folder, nor know other cells than the sweep.

    Args:
        study: the one to judge.
        index: what the trial folders tell.
        warm: the folders of the trials to start warm from.
        ends: says how a trial that the study knows ended for it.
    """
    spec = index.spec
    if [direction.name.lower() for direction in study.directions] != directions(spec):
        return False
    numbers: set[int] = set()
    choices = labels(spec)
    for trial in study.get_trials(deepcopy=False):
        cell = trial.distributions.get(CELL)
        if cell is not None and list(getattr(cell, "choices", ())) != choices:
            return False
        if FROM in trial.user_attrs:
            continue
        number = trial.user_attrs.get(NUMBER)
        if not isinstance(number, int) or number in numbers:
            return False
        if trial.state.is_finished() and ends(number) == RUNNING:
            return False
        numbers.add(number)
    taken = {trial.user_attrs[FROM] for trial in study.get_trials(deepcopy=False) if FROM in trial.user_attrs}
    return {trial.trial for trial in index.suggested if is_told(spec, trial)} <= numbers and taken == warm


def frozen(spec: SweepSpec, end: End, label: str, values: Json, attributes: Json) -> FrozenTrial:
    """Make a trial as it would stand in the study had it been asked for and told there.

    Args:
        spec: the sweep.
        end: how it ended for the study.
        label: of its cell.
        values: of its parameters, keyed as in the sweep file.
        attributes: user attributes.
    """
    return optuna.create_trial(
        state=end.state,
        values=end.values,
        params={CELL: label, **{key: as_choice(value) for key, value in values.items()}},
        distributions=distributions(spec, values),
        user_attrs=attributes,
        constraints=end.violations,
    )


def derive(index: TrialIndex, end: Callable[[int], End], warm: list[FrozenTrial]) -> list[FrozenTrial]:
    """Make the study's trials from those of a warm start and from the index."""
    trials, order = list(warm), list(suggestion_order(index.spec.parameters))
    for trial in index.suggested:
        if not is_told(index.spec, trial):
            continue
        values = collect(trial.params, order)
        attributes = {NUMBER: trial.trial, PLACE: trial.cell}
        trials.append(frozen(index.spec, end(trial.trial), trial.label, values, attributes))
    return with_generations(index.spec, trials)
