"""Suggestions without Ray: who gets a turn, what a restart finds again, what Optuna is told."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from ofb_ray.config import Json
from ofb_ray.results.files import JOURNAL_FILE, trial_folder
from ofb_ray.results.records import BudgetOutcome, Network
from tests.tuning.optuna.studies import close, finish, issue, open_sweep, run_all, sweep, trial_json


def test_cells_take_turns_and_begin_with_the_files_own_values(tmp_path: Path) -> None:
    trials = run_all(tmp_path, sweep(sampler="random", seeds=[0, 1]))
    assert len(trials) == 2 * 2 * 8
    turns = [(trial["cell"]["budget"]["macs_ratio"], trial["cell"]["seed"]) for trial in trials]
    assert turns == [(0.5, 0), (0.5, 1), (0.75, 0), (0.75, 1)] * 8
    own = {"search.lr": 1e-3, "search.eliminations_per_epoch": 3}
    assert [trial["params"] == own for trial in trials] == [True] * 4 + [False] * 28


def test_own_values_outside_the_range_are_left_to_optuna(tmp_path: Path) -> None:
    params = run_all(tmp_path, sweep(search={"lr": 0.5}, trials=1))[0]["params"]
    assert 1e-4 <= params["search.lr"] <= 1e-2
    assert params["search.eliminations_per_epoch"] == 3


@pytest.mark.parametrize(("recipe", "travel"), [("paper", 4.0), ("calibrated", 1.0)])
def test_what_the_file_leaves_to_the_recipe_is_its_own_value(tmp_path: Path, recipe: str, travel: float) -> None:
    parameters = {"search.alpha_travel": {"min": 0.5, "max": 8.0}}
    trials = run_all(tmp_path, sweep(search={"recipe": recipe}, parameters=parameters, trials=1))
    assert [trial["params"] for trial in trials] == [{"search.alpha_travel": travel}] * 2


def test_without_parameters_there_is_one_trial_for_each_cell(tmp_path: Path) -> None:
    trials = run_all(tmp_path, sweep(parameters={}))
    assert [trial["cell"]["budget"]["macs_ratio"] for trial in trials] == [0.5, 0.75]


@pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "nsga2", "nsga3", "qmc"])
def test_restarts_change_no_suggestion_and_none_is_repeated(tmp_path: Path, sampler: str) -> None:
    spec = sweep(sampler=sampler, constraints=[{"metric": "macs", "max": 6e5}])
    once = [trial["params"] for trial in run_all(tmp_path / "a", spec)]
    often = [trial["params"] for trial in run_all(tmp_path / "b", spec, restart_every=3)]
    assert once == often
    assert len({json.dumps(params) for params in once[2:]}) == len(once) - 2


def test_gp_finds_better_values_than_chance_in_each_cell(tmp_path: Path) -> None:
    """Loss of accuracy is a parabola in the logarithms of three weights; measured by each budget's best trial."""
    names = ("search.lr", "search.one_hot_weight", "search.eta_other")
    low, high = 1e-4, 1e-2
    parameters = {name: {"min": low, "max": high, "log": True} for name in names}

    def best(sampler: str) -> float:
        results = tmp_path / sampler
        results.mkdir()
        spec = sweep(sampler=sampler, trials=10, parameters=parameters, search={"lr": low, "eta_other": low})
        suggestions, losses = open_sweep(results, spec), []
        while (number := issue(suggestions)) is not None:
            trial = trial_json(results, number)
            losses.append(sum((math.log10(value) + 2.5) ** 2 for value in trial["params"].values()))
            macs = int(1e6 * trial["cell"]["budget"]["macs_ratio"])
            top1 = 90 + macs / 1e5 - 2 * losses[-1]
            finish(results, spec, number, subnet=Network(macs=macs, params=macs, top1_val=top1))
            close(suggestions, number)
        return min(losses[::2]) + min(losses[1::2])

    assert best("gp") < 0.5 * best("random")


def test_conditional_parameters_are_suggested_only_where_they_apply(tmp_path: Path) -> None:
    parameters = {
        "search.pmim.start": {"min": 0.01, "max": 0.2, "when": {"search.pmim.mode": ["fixed", "progressive"]}},
        "search.pmim.mode": {"values": ["off", "fixed", "progressive"]},
    }
    trials = run_all(tmp_path, sweep(parameters=parameters))
    modes = {trial["params"]["search.pmim.mode"] for trial in trials}
    assert "off" in modes
    assert len(modes) > 1
    for trial in trials:
        assert ("search.pmim.start" in trial["params"]) == (trial["params"]["search.pmim.mode"] != "off")


def test_values_may_be_lists(tmp_path: Path) -> None:
    values = [[0.1, 0.2], [0.3, 0.4], None]
    trials = run_all(tmp_path, sweep(parameters={"data.mean": {"values": values}}, trials=4))
    assert all(trial["params"]["data.mean"] in values for trial in trials)
    assert trials[0]["spec"]["data"]["mean"] is None


def test_a_trial_without_a_record_is_issued_again_as_it_was(tmp_path: Path) -> None:
    spec = sweep()
    suggestions = open_sweep(tmp_path, spec)
    for number in range(6):
        assert issue(suggestions) == number
        if number not in (2, 4):
            finish(tmp_path, spec, number)
            close(suggestions, number)
    before = [trial_json(tmp_path, number) for number in range(6)]
    shutil.rmtree(trial_folder(tmp_path, 4))  # killed before it wrote the folder
    again = open_sweep(tmp_path, spec)
    assert [issue(again), issue(again), issue(again)] == [2, 4, 6]
    assert [trial_json(tmp_path, number) for number in range(6)] == before


def test_a_record_that_optuna_was_not_told_is_told_at_the_start(tmp_path: Path) -> None:
    spec = sweep()
    first = open_sweep(tmp_path, spec)
    issue(first)
    issue(first)
    finish(tmp_path, spec, 1)
    again = open_sweep(tmp_path, spec)
    states = [trial.state for trial in again.study.trials]
    assert states == [TrialState.RUNNING, TrialState.COMPLETE]
    assert again.study.trials[1].values == [97.5, 750_000]


def test_half_a_line_at_the_journals_end_is_dropped(tmp_path: Path) -> None:
    spec = sweep(sampler="random")
    trials = run_all(tmp_path, spec)
    journal = tmp_path / JOURNAL_FILE
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"work')
    again = open_sweep(tmp_path, sweep(sampler="random", trials=9))
    assert issue(again) == len(trials)
    assert open_sweep(tmp_path, spec).study.trials[0].state is TrialState.COMPLETE


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, TrialState.COMPLETE),
        ({"status": "failed", "reason": "NaN", "subnet": None}, TrialState.FAIL),
        ({"status": "stopped", "reason": "gate"}, TrialState.PRUNED),
        ({"subnet": Network(macs=1, params=1)}, TrialState.FAIL),
    ],
)
def test_optuna_is_told_what_became_of_a_trial(tmp_path: Path, changes: Json, state: TrialState) -> None:
    suggestions = open_sweep(tmp_path, sweep())
    issue(suggestions)
    finish(tmp_path, sweep(), 0, **changes)
    close(suggestions, 0)
    assert suggestions.study.trials[0].state is state
    close(suggestions, 0)  # a second time changes nothing


@pytest.mark.parametrize(("used", "best"), [(0.995, 1), (1.01, 0)])
def test_a_network_over_its_budget_is_infeasible(tmp_path: Path, used: float, best: int) -> None:
    suggestions = open_sweep(tmp_path, sweep())
    issue(suggestions)
    budget = BudgetOutcome(label="0.5", resource="macs", target=500_000, used=used, minimum=1)
    finish(tmp_path, sweep(), 0, budget=budget)
    close(suggestions, 0)
    assert len(suggestions.study.best_trials) == best


def test_more_trials_extend_a_sweep_without_renumbering(tmp_path: Path) -> None:
    before = run_all(tmp_path, sweep(trials=2))
    after = run_all(tmp_path, sweep(trials=3))
    assert len(after) == 2  # only the new ones were run
    assert [trial_json(tmp_path, number) for number in range(4)] == before


def test_the_journal_is_a_plain_optuna_study(tmp_path: Path) -> None:
    run_all(tmp_path, sweep(trials=2))
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / JOURNAL_FILE))
    study = optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(backend))
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert {trial.params["cell"] for trial in study.trials} == {"0.5", "0.75"}
