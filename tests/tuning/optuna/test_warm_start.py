"""Warm start: which records of earlier sweeps are taken, and what the study makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofb_ray.config import Json
from ofb_ray.errors import InputError
from ofb_ray.results import folder
from ofb_ray.results.atomic import write_json
from ofb_ray.results.files import JOURNAL_FILE, TRIAL_FILE, trial_folder
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.locations import CACHE_VARIABLE
from ofb_ray.results.records import Network
from ofb_ray.tuning.optuna.warm_start import warm_folders
from tests.tuning.optuna.studies import FAILED, close, finish, issue, open_sweep, run_all, sweep, trial_json


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """Eight trials at two budgets; the last has failed."""
    results = tmp_path / "earlier"
    results.mkdir()
    spec = sweep(name="earlier", sampler="random", trials=4)
    suggestions = open_sweep(results, spec)
    for number in range(8):
        issue(suggestions)
        finish(results, spec, number, **(FAILED if number == 7 else {}))
        close(suggestions, number)
    return results


def test_records_are_learnt_from_and_not_counted(tmp_path: Path, earlier: Path) -> None:
    spec = sweep(sampler="tpe", trials=2, warm_start=[str(earlier)])
    results = tmp_path / "s"
    trees = run_all(results, spec, restart_every=1)
    assert len(trees) == TrialIndex.read(results, spec).total == 4
    suggestions = open_sweep(results, spec)
    assert suggestions.notes == [f"warm start: 7 of 8 trials taken from {earlier}; 1 not finished"]
    study = suggestions.study
    assert [trial.user_attrs.get("from") for trial in study.trials[:7]] == [f"{earlier}/{n:05d}" for n in range(7)]
    assert [trial.user_attrs["trial"] for trial in study.trials[7:]] == [0, 1, 2, 3]
    for number, trial in enumerate(study.trials[:7]):
        tree = trial_json(earlier, number)
        assert trial.params == {"cell": tree["label"], **tree["params"]}
        assert trial.constraints == {"budget": 0.0}


def test_a_lost_journal_is_rebuilt_with_them_and_a_changed_list_replaces_them(tmp_path: Path, earlier: Path) -> None:
    spec = sweep(sampler="tpe", trials=2, warm_start=[str(earlier)])
    results = tmp_path / "s"
    run_all(results, spec)
    before = [(trial.params, trial.values, trial.user_attrs) for trial in open_sweep(results, spec).study.trials]
    (results / JOURNAL_FILE).unlink()
    assert [(t.params, t.values, t.user_attrs) for t in open_sweep(results, spec).study.trials] == before
    without = open_sweep(results, sweep(sampler="tpe", trials=2))
    assert [(t.params, t.values, t.user_attrs) for t in without.study.trials] == before[7:]
    folder.write_sweep(results, spec)
    folder.check_same_sweep(results, sweep(sampler="tpe", trials=2))  # the earlier sweep may be gone by now


OUTSIDE = "0 of 8 trials taken from E; 7 with search.lr outside its range; 1 not finished"


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"budgets": [0.5]}, "4 of 8 trials taken from E; 3 of another cell; 1 not finished"),
        ({"grid": {"search.mask": ["both"]}}, "0 of 8 trials taken from E; 7 of another cell; 1 not finished"),
        ({"parameters": {"search.lr": {"min": 2.0, "max": 3.0}}}, OUTSIDE),
        ({"parameters": {"search.eta_other": {"min": 0.0, "max": 1.0}}}, "7 of 8 trials taken from E; 1 not finished"),
    ],
)
def test_what_does_not_belong_is_left_out_with_a_reason(
    tmp_path: Path, earlier: Path, changes: Json, note: str
) -> None:
    suggestions = open_sweep(tmp_path, sweep(**{"warm_start": [str(earlier)], **changes}))
    assert [text.replace(str(earlier), "E") for text in suggestions.notes] == [f"warm start: {note}"]


def test_a_record_without_an_objective_is_left_out(tmp_path: Path) -> None:
    results = tmp_path / "earlier"
    results.mkdir()
    spec = sweep(name="earlier", sampler="random", trials=1)
    issue(open_sweep(results, spec))
    finish(results, spec, 0, subnet=Network(macs=1, params=1))
    assert open_sweep(tmp_path, sweep(warm_start=[str(results)])).notes[0].endswith("; 1 without an objective")


def test_a_sampler_past_its_start_learns_from_warm_trials_at_once(tmp_path: Path, earlier: Path) -> None:
    sampler = {"name": "tpe", "n_startup_trials": 7}
    warm = run_all(tmp_path / "s", sweep(sampler=sampler, trials=2, warm_start=[str(earlier)]))
    cold = run_all(tmp_path / "t", sweep(sampler=sampler, trials=2))
    assert [tree["params"] for tree in warm[:2]] == [tree["params"] for tree in cold[:2]]  # the file's own values
    assert [tree["params"] for tree in warm[2:]] != [tree["params"] for tree in cold[2:]]


@pytest.mark.parametrize(("location", "words"), [("nowhere", "holds no trials"), ("s", "own folder")])
def test_a_folder_that_is_none_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    trial_folder(tmp_path / "s", 0).mkdir(parents=True)
    with pytest.raises(InputError, match=words) as error:
        warm_folders(sweep(warm_start=[location]), tmp_path / "s")
    assert error.value.key == "warm_start.0"


@pytest.mark.parametrize("form", ["file://{}/s/", "file://{}//s", "{}/s"])
def test_the_own_store_is_known_under_any_of_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    write_json(trial_folder(tmp_path / "s", 0) / TRIAL_FILE, {})
    spec = sweep(storage=f"file://{tmp_path}", warm_start=[form.format(tmp_path)])
    with pytest.raises(InputError, match="own folder"):
        warm_folders(spec, folder.results_folder(spec))
