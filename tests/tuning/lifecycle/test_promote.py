"""Promotion: who goes on, under which number, from which search, and a sweep that does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.config import GateSpec, SweepSpec
from ofb_ray.results import folder
from ofb_ray.results.attempt import Attempt
from ofb_ray.results.files import RECORD_FILE, WEIGHTS_FILE, TrialFile, trial_folder, trial_folders
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.records import read_record
from ofb_ray.train.checkpoint import kept_search
from ofb_ray.trial.run import run_trial
from ofb_ray.tuning.lifecycle.early_stop import early_stop
from ofb_ray.tuning.lifecycle.promote import Promotions
from tests.small import small_spec
from tests.tuning.optuna.studies import BASE, FAILED, close, finish, issue, open_sweep, run_all, sweep, trial_json
from tests.tuning.test_launch import command, start

LONG: dict[str, Any] = {"trials": 4, "finetune": {"epochs": 5}, "promote": {"best": 2, "epochs": 9}}


def best(results: Path, label: str, numbers: range) -> list[int]:
    """By hand: the two with the highest top-1."""

    def top1(number: int) -> float:
        record = read_record(trial_folder(results, number))
        assert record is not None
        assert record.subnet is not None
        assert record.subnet.top1_val is not None
        return record.subnet.top1_val

    mine = [number for number in numbers if trial_json(results, number)["label"] == label]
    return sorted(mine, key=top1, reverse=True)[:2]


def promote_all(results: Path, spec: SweepSpec) -> list[int]:
    promotions, numbers = Promotions(TrialIndex.read(results, spec)), []
    while (number := issue(promotions)) is not None:
        finish(results, spec, number)
        close(promotions, number)
        numbers.append(number)
    return numbers


def test_the_best_of_each_budget_go_on_once(tmp_path: Path) -> None:
    spec = sweep(**LONG)
    run_all(tmp_path, spec)
    study = open_sweep(tmp_path, spec).study
    assert TrialIndex(tmp_path, spec).total == TrialIndex.read(tmp_path, spec).total == 8 + 4
    donors = [*best(tmp_path, "0.5", range(8)), *best(tmp_path, "0.75", range(8))]
    assert TrialIndex.read(tmp_path, spec).to_promote() == donors
    assert promote_all(tmp_path, spec) == [8, 9, 10, 11]
    for number, donor in zip(range(8, 12), donors, strict=True):
        new, old = trial_json(tmp_path, number), trial_json(tmp_path, donor)
        assert new["promotes"] == donor
        assert new["spec"]["finetune"]["epochs"] == 9
        assert {**new["spec"], "finetune": old["spec"]["finetune"]} == old["spec"]
        assert new["key"] != old["key"]
        assert (new["cell"], new["label"]) == (old["cell"], old["label"])
    assert promote_all(tmp_path, spec) == []
    assert TrialIndex.read(tmp_path, spec).total == 12
    again = open_sweep(tmp_path, spec)
    assert (again.index.suggestions, again.left, issue(again)) == (8, 0, None)
    assert len(again.study.trials) == len(study.trials) == 8


def test_a_budget_waits_for_all_its_trials(tmp_path: Path) -> None:
    spec = sweep(**LONG)
    tmp_path.mkdir(exist_ok=True)
    suggestions = open_sweep(tmp_path, spec)
    for expected in range(7):  # the budgets take turns, so all of 0.5 are done, and 0.75 lacks one
        number = issue(suggestions)
        assert number == expected
        finish(tmp_path, spec, number)
        close(suggestions, number)
    assert TrialIndex.read(tmp_path, spec).to_promote() == best(tmp_path, "0.5", range(7))
    assert TrialIndex.read(tmp_path, spec).total == 12


def test_failed_trials_and_those_above_their_budget_stay(tmp_path: Path) -> None:
    spec = sweep(**{**LONG, "budgets": [0.5]})
    suggestions = open_sweep(tmp_path, spec)
    for changes in (FAILED, {"status": "stopped", "reason": "gate", "subnet": None}, {}, {}):
        number = issue(suggestions)
        assert number is not None
        finish(tmp_path, spec, number, **changes)
        close(suggestions, number)
    over = trial_folder(tmp_path, 2) / RECORD_FILE
    tree = json.loads(over.read_text())
    over.write_text(json.dumps({**tree, "subnet": {**tree["subnet"], "macs": tree["budget"]["target"] + 1}}))
    assert TrialIndex.read(tmp_path, spec).to_promote() == [3]
    assert TrialIndex.read(tmp_path, spec).total == 5


def test_an_interrupted_promotion_goes_on_and_an_extended_sweep_keeps_its_numbers(tmp_path: Path) -> None:
    spec = sweep(**{**LONG, "budgets": [0.5]})
    run_all(tmp_path, spec)
    assert issue(Promotions(TrialIndex.read(tmp_path, spec))) == 4  # and the driver dies
    again = Promotions(TrialIndex.read(tmp_path, spec))
    assert again.left == 2
    assert promote_all(tmp_path, spec) == [4, 5]
    longer = sweep(**{**LONG, "budgets": [0.5], "trials": 6})
    folder.write_sweep(tmp_path, spec)
    folder.check_same_sweep(tmp_path, longer)
    suggestions = open_sweep(tmp_path, longer)
    numbers = [issue(suggestions), issue(suggestions), issue(suggestions)]
    assert numbers == [6, 7, None]


def test_kept_searches_go_when_nobody_needs_them(tmp_path: Path) -> None:
    spec = sweep(**{**LONG, "budgets": [0.5]})
    run_all(tmp_path, spec)
    search, dense = tmp_path / "shared" / "search-0", tmp_path / "shared" / "0"
    for path in (search, dense):
        path.mkdir(parents=True)
    Promotions(TrialIndex.read(tmp_path, spec)).remove_searches()
    assert search.exists()
    promote_all(tmp_path, spec)
    Promotions(TrialIndex.read(tmp_path, spec)).remove_searches()
    assert dense.exists()
    assert not search.exists()


def test_no_gate_stops_a_promoted_trial(tmp_path: Path) -> None:
    trial = TrialFile(trial=4, key="k", spec={}, label="0.5")
    promoted = trial.model_copy(update={"promotes": 3})
    assert early_stop(GateSpec(epochs=1), trial, Attempt(tmp_path, print)) is not None
    assert early_stop(GateSpec(epochs=1), promoted, Attempt(tmp_path, print)) is None


def test_a_promoted_trial_takes_over_the_search_and_its_numbers(tmp_path: Path) -> None:
    """Real training: no search epoch runs again, and the record is that of a trial that searched itself."""
    shared, phases = tmp_path / "shared", []
    short, long = small_spec(finetune={"epochs": 1}), small_spec(finetune={"epochs": 2})
    assert short.search_key == long.search_key != small_spec(search={"lr": 5e-4}).search_key
    run_trial(short, lambda _: None, tmp_path / "short", shared=shared, keep_search=True)
    assert kept_search(shared, short).exists()

    def report(progress: dict[str, Any]) -> None:
        phases.append((progress["phase"], progress["epoch"]))

    taken = run_trial(long, report, tmp_path / "long", shared=shared, keep_search=True)
    assert phases == [*[("finetune", 0)] * 2, ("finetune", 1), ("finetune", 2), ("done", 0)]  # data, search, epochs
    alone = run_trial(long, lambda _: None, tmp_path / "alone", shared=shared)
    for name in ("key", "status", "history", "events", "arch", "subnet", "dense", "budget"):
        assert getattr(taken, name) == getattr(alone, name), name
    weights = [(tmp_path / name / WEIGHTS_FILE).read_bytes() for name in ("long", "alone")]
    assert weights[0] == weights[1]


def test_nothing_is_kept_unless_asked(tmp_path: Path) -> None:
    spec = small_spec(search={"epochs": 1}, finetune={"epochs": 0})
    run_trial(spec, lambda _: None, tmp_path / "t", shared=tmp_path / "shared")
    assert not list((tmp_path / "shared").glob("search-*"))


def test_the_long_fine_tune_is_longer() -> None:
    with pytest.raises(ValueError, match=r"promote.epochs must be above finetune.epochs \(5\)"):
        SweepSpec.model_validate({**BASE, **LONG, "promote": {"epochs": 5}})


@pytest.mark.slow
def test_a_sweep_promotes_at_its_end(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "finetune": {"epochs": 2},
        "promote": {"best": 1, "epochs": 6},
        "parameters": {"search.lr": {"values": [1e-3, 2e-3]}},
        "sampler": "grid",
    }
    line = command(tmp_path, **changes)
    line[line.index("tests.tuning.fake:run_trial")] = "tests.tuning.lifecycle.gated:run_trial"
    process = start(tmp_path, line)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, out + error
    assert "promoting: 2 trials go on" in out
    results = tmp_path / "results" / "s"
    lengths = [len(record.history) for path in trial_folders(results) if (record := read_record(path))]
    assert lengths == [2, 2, 2, 2, 6, 6]
    again = start(tmp_path, line)
    assert "all 6 trials are done" in again.communicate(timeout=60)[0]
