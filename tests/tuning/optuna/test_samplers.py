"""Samplers by name: their options, the grid, points to try first, keys that move together, seeds."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ofb_ray.config import Json
from ofb_ray.errors import InputError
from ofb_ray.results.cells import cell_of, trial_total
from ofb_ray.tuning.optuna.samplers import check_sampler
from tests.tuning.optuna.studies import close, finish, issue, open_sweep, run_all, sweep, trial_json

LR: Json = {"search.lr": {"min": 1e-4, "max": 1e-2, "log": True}}
GRID: Json = {
    "sampler": "grid",
    "trials": None,
    "parameters": {
        "search.pmim.start": {"values": [0.05, 0.1], "when": {"search.pmim.mode": "fixed"}},
        "search.pmim.mode": {"values": ["fixed", "off"]},
        "search.lr": {"values": [1e-3, 1e-2]},
    },
}


@pytest.mark.parametrize(
    ("sampler", "key", "words"),
    [
        ({"name": "tpe", "n_startup_trial": 3}, "sampler.n_startup_trial", "did you mean 'n_startup_trials'?"),
        ({"name": "tpe", "n_startup_trials": -1}, "sampler.n_startup_trials", "at least 0, not -1"),
        ({"name": "tpe", "n_startup_trials": "many"}, "sampler.n_startup_trials", "takes int, not 'many'"),
        ({"name": "tpe", "n_startup_trials": True}, "sampler.n_startup_trials", "takes int, not True"),
        ({"name": "tpe", "n_ei_candidates": 0}, "sampler.n_ei_candidates", "at least 1"),
        ({"name": "tpe", "seed": 1}, "sampler.seed", "no option of sampler 'tpe'"),
        ({"name": "tpe", "gamma": 1}, "sampler.gamma", "no option"),
        ({"name": "gp", "constraints_func": None}, "sampler.constraints_func", "n_startup_trials"),
        ({"name": "nsga2", "population_size": 1}, "sampler", "greater than or equal to 2"),
        ({"name": "nsga2", "crossover_prob": 1.5}, "sampler.crossover_prob", "at most 1"),
        ({"name": "qmc", "qmc_type": "lattice"}, "sampler", "halton"),
        ({"name": "auto", "n_startup_trials": 3}, "sampler.n_startup_trials", "it has none"),
        ({"name": "grid", "seed": 1}, "sampler.seed", "it has none"),
    ],
    ids=str,
)
def test_an_option_that_does_not_fit_is_refused_before_anything_runs(sampler: Json, key: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as error:
        check_sampler(sweep(sampler=sampler, parameters=LR))
    assert error.value.key == key


@pytest.mark.parametrize(
    "sampler",
    [
        {"name": "tpe", "n_startup_trials": 0, "multivariate": False},
        {"name": "gp", "n_startup_trials": 3, "deterministic_objective": True},
        {"name": "nsga2", "population_size": 4, "mutation_prob": None},
        {"name": "nsga3", "population_size": 4, "dividing_parameter": 4},
        {"name": "qmc", "qmc_type": "halton", "scramble": False},
        {"name": "random"},
    ],
    ids=str,
)
def test_options_reach_the_sampler_and_seeds_reproduce_its_suggestions(tmp_path: Path, sampler: Json) -> None:
    spec = sweep(sampler=sampler, trials=6, seeds=[0, 1], budgets=[0.5])
    check_sampler(spec)
    once, again = (run_all(tmp_path / name, spec) for name in "ab")
    assert once == again
    other = run_all(tmp_path / "c", sweep(sampler=sampler, trials=6, seeds=[2, 3], budgets=[0.5]))
    moved = [tree["params"] for tree in once] != [tree["params"] for tree in other]
    assert moved == sampler.get("scramble", True)  # Sobol and Halton points know no seed


def test_quasi_random_points_fill_the_space_in_each_cell(tmp_path: Path) -> None:
    """16 points of a Sobol sequence lie one in each sixteenth of every axis, in every cell, restarts or not."""
    parameters = {**LR, "search.eta_other": {"min": 0.0, "max": 1.0}, "search.pmim.start": {"min": 0.0, "max": 0.1}}
    trees = run_all(tmp_path, sweep(sampler="qmc", trials=17, parameters=parameters), restart_every=5)
    for cell in range(2):
        values = [tree["params"]["search.eta_other"] for tree in trees[2 + cell :: 2]]
        assert sorted(int(16 * value) for value in values) == list(range(16))


def test_a_grid_is_tried_once_in_each_cell_in_the_files_order(tmp_path: Path) -> None:
    spec = sweep(**GRID)
    trees = run_all(tmp_path, spec, restart_every=3)
    modes: list[Json] = [
        {"search.pmim.mode": "fixed", "search.pmim.start": 0.05},
        {"search.pmim.mode": "fixed", "search.pmim.start": 0.1},
        {"search.pmim.mode": "off"},
    ]
    wanted = [{**mode, "search.lr": lr} for mode, lr in itertools.product(modes, [1e-3, 1e-2])]
    assert [tree["params"] for tree in trees[::2]] == [tree["params"] for tree in trees[1::2]] == wanted
    assert trial_total(spec) == 2 * 6


def test_trials_cap_a_grid_and_more_of_them_go_on_with_it(tmp_path: Path) -> None:
    run_all(tmp_path, sweep(**{**GRID, "trials": 2}))
    run_all(tmp_path, sweep(**{**GRID, "trials": 100}))
    params = [json.dumps(trial_json(tmp_path, number)["params"], sort_keys=True) for number in range(12)]
    assert len(set(params[::2])) == len(set(params[1::2])) == 6
    assert issue(open_sweep(tmp_path, sweep(**GRID))) is None


def test_a_grid_may_have_another_size_in_each_cell(tmp_path: Path) -> None:
    parameters = {"search.pmim.start": {"values": [0.05, 0.1], "when": {"search.pmim.mode": "fixed"}}}
    modes = {"search.pmim.mode": ["off", "fixed"]}
    spec = sweep(sampler="grid", trials=None, grid=modes, parameters=parameters, budgets=[0.5])
    trees = run_all(tmp_path, spec)
    assert [tree["params"] for tree in trees] == [{}, {"search.pmim.start": 0.05}, {"search.pmim.start": 0.1}]
    assert [cell_of(spec, number)["search.pmim.mode"] for number in range(3)] == ["off", "fixed", "fixed"]


def test_points_are_tried_in_each_cell_after_the_files_own_values(tmp_path: Path) -> None:
    points = [{"search.lr": 2e-3, "search.eliminations_per_epoch": 8}, {"search.lr": 5e-4}]
    trees = run_all(tmp_path, sweep(sampler="tpe", trials=4, points=points), restart_every=1)
    rates = [tree["params"]["search.lr"] for tree in trees]
    assert rates[:6] == [1e-3, 1e-3, 2e-3, 2e-3, 5e-4, 5e-4]
    assert [tree["params"]["search.eliminations_per_epoch"] for tree in trees[:4]] == [3, 3, 8, 8]
    assert len(set(rates)) == 5


@pytest.mark.parametrize("sampler", ["auto", "tpe", "grid", "nsga2"])
def test_keys_that_move_together_are_one_parameter_and_one_entry_each(tmp_path: Path, sampler: str) -> None:
    together = [[10, 20], [20, 40], [30, 60]]
    spec = sweep(
        sampler=sampler,
        trials=4,
        search={"epochs": 20},
        finetune={"epochs": 40},
        grid={"search.batch_size, finetune.batch_size": [[32, 64], [64, 128]]},
        parameters={"search.epochs, finetune.epochs": {"values": together}},
    )
    trees = run_all(tmp_path, spec, restart_every=3)
    assert len(trees) == 2 * 2 * (3 if sampler == "grid" else 4)
    for tree in trees:
        assert list(tree["params"]) == ["search.epochs", "finetune.epochs"]
        assert list(tree["params"].values()) in together
        assert tree["spec"]["finetune"]["epochs"] == 2 * tree["spec"]["search"]["epochs"]
        assert tree["cell"]["finetune.batch_size"] == 2 * tree["cell"]["search.batch_size"]
    if sampler != "grid":
        assert [tree["params"]["search.epochs"] for tree in trees[:4]] == [20] * 4  # the file's own pair


DASHBOARD = """
import json, sys
from wsgiref.util import setup_testing_defaults
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna_dashboard import wsgi
application = wsgi(JournalStorage(JournalFileBackend(sys.argv[1])))
def get(path):
    environment = {"PATH_INFO": path, "QUERY_STRING": "after=0"}
    setup_testing_defaults(environment)
    return json.loads(b"".join(application(environment, lambda status, *_: print(status, file=sys.stderr))))
(study,) = get("/api/studies")["study_summaries"]
print(json.dumps([study, get(f"/api/studies/{study['study_id']}")]))
"""


def test_optuna_dashboard_opens_the_study_while_the_sweep_runs(tmp_path: Path) -> None:
    """In a process of its own, as a user would, while the driver holds the study open."""
    pytest.importorskip("optuna_dashboard", reason="installed by the test extra")
    spec = sweep(sampler="tpe", trials=2)
    suggestions = open_sweep(tmp_path, spec)
    for number in range(3):
        issue(suggestions)
        if number < 2:
            finish(tmp_path, spec, number)
            close(suggestions, number)
    line = [sys.executable, "-W", "ignore", "-c", DASHBOARD, str(tmp_path / "study.journal")]
    answer = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert answer.stderr.count("200 OK") == 2, answer.stderr
    summary, detail = json.loads(answer.stdout)
    assert summary["study_name"] == "s"
    assert [trial["state"] for trial in detail["trials"]] == ["Complete", "Complete", "Running"]
    assert issue(suggestions) == 3
