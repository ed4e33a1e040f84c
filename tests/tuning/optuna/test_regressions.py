"""What Optuna did wrong once, and what of its own parts is used here without a promise that it stays."""

from __future__ import annotations

import inspect
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from tests.tuning.optuna.studies import close, finish, issue, open_sweep, sweep

OBJECTIVES = [{"metric": "top1_val", "goal": "maximize"}, {"metric": "macs", "goal": "minimize"}]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_trials_that_were_stopped_early_do_not_disturb_a_sampler_of_several_objectives(
    tmp_path: Path, sampler: str
) -> None:
    """Optuna raised for PRUNED trials in studies of several objectives (optuna #5260)."""
    options = {"n_startup_trials": 4} if sampler == "tpe" else {"population_size": 4}
    spec = sweep(sampler={"name": sampler, **options}, trials=12, budgets=[0.5], objectives=OBJECTIVES)
    source = open_sweep(tmp_path, spec)
    assert len(source.study.directions) == 2
    for turn in range(12):
        number = issue(source)
        assert number is not None
        changes = {"status": "stopped", "reason": "not among the best", "subnet": None} if turn % 3 == 1 else {}
        finish(tmp_path, spec, number, **changes)
        close(source, number)
    states = [trial.state for trial in source.study.get_trials(deepcopy=False)]
    assert states.count(optuna.trial.TrialState.PRUNED) == 4
    assert states.count(optuna.trial.TrialState.COMPLETE) == 8


def test_the_private_names_that_are_used_exist() -> None:
    study = optuna.create_study()
    assert isinstance(study._storage, optuna.storages.BaseStorage)
    assert isinstance(study._study_id, int)
    study._thread_local.cached_all_trials = None
    study.enqueue_trial({"x": 1})
    assert study.get_trials()[0].system_attrs == {"fixed_params": {"x": 1}}  # what `begin_trial` writes
    trial = study.ask()
    assert isinstance(trial._trial_id, int)
    assert "cached_all_trials" in inspect.getsource(optuna.Study.ask)
    assert list(inspect.signature(JournalFileBackend.append_logs).parameters) == ["self", "logs"]
