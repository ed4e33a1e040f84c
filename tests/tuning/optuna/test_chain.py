"""A chain of budgets in the study: who may run when, with which values, and what Optuna is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from ofb_ray.config import Json, SweepSpec
from ofb_ray.errors import InputError
from ofb_ray.results.driver import SweepResults
from ofb_ray.results.files import trial_folder
from ofb_ray.results.folder import check_same_sweep, write_sweep
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.ranking import hypervolume
from ofb_ray.results.records import read_record
from ofb_ray.tuning.lifecycle.failures import write_failed
from ofb_ray.tuning.lifecycle.promote import Promotions
from ofb_ray.tuning.lifecycle.retry import retry_failed
from ofb_ray.tuning.optuna.study import Suggestions
from tests.tuning.optuna.studies import FAILED, close, finish, open_sweep, sweep, trial_json

BUDGETS = [0.75, 0.5, 0.25]
CHAIN: Json = {"budgets": BUDGETS, "chain": {"epochs": 2}, "trials": 3, "sampler": "random"}


def chained(**changes: Any) -> SweepSpec:
    return sweep(**{**CHAIN, **changes})


def budget_of(trial: Json) -> float:
    return float(trial["cell"]["budget"]["macs_ratio"])


def drive(
    results: Path,
    spec: SweepSpec,
    slots: int = 2,
    restart: bool = False,
    ends: Callable[[Json], Json] = lambda trial: {},
) -> list[Json]:
    """Run a sweep as the driver does: slots are filled, searches end, then the oldest trial.

    Args:
        restart: the driver is killed whenever a trial has ended, and starts anew.
        ends: what is special about how a trial ends.
    Returns:
        The trial.json of all trials.
    """
    results.mkdir(exist_ok=True)
    source = Suggestions.open(TrialIndex.read(results, spec), slots)
    running: list[int] = []
    while source.left:
        while len(running) < slots and (trial := source.next()) is not None:
            if reason := source.barred(trial.trial):
                write_failed(trial_folder(results, trial.trial), reason)
                close(source, trial.trial)
            else:
                running.append(trial.trial)
        if not running:
            break
        for number in running:
            source.searched(number)
        number = running.pop(0)
        finish(results, spec, number, **ends(trial_json(results, number)))
        close(source, number)
        if restart:
            source, running = Suggestions.open(TrialIndex.read(results, spec), slots), []
    count = len([path for path in results.iterdir() if path.name.isdigit()])
    return [trial_json(results, number) for number in range(count)]


def volume(points: Sequence[tuple[float, float]], reference_top1: float = 0.0) -> float:
    """The hypervolume of networks (cost, top-1), both as shares."""
    return hypervolume([(top1, cost) for cost, top1 in points], (reference_top1, 1.0))


def study_of(results: Path, spec: SweepSpec) -> optuna.Study:
    return open_sweep(results, spec).study


def test_values_are_drawn_once_a_chain(tmp_path: Path) -> None:
    trials = drive(tmp_path / "s", chained())
    assert len(trials) == 9
    heads = [trial for trial in trials if "follows" not in trial]
    assert [budget_of(trial) for trial in heads] == [0.75] * 3
    assert len({str(trial["params"]) for trial in heads}) == 3
    for trial in trials:
        if "follows" in trial:
            above = trials[trial["follows"]]
            assert budget_of(trial) == BUDGETS[BUDGETS.index(budget_of(above)) + 1]
            assert trial["params"] == above["params"]
            assert [each["macs_ratio"] for each in trial["spec"]["chain"]["above"]] == [
                each for each in BUDGETS if each > budget_of(trial)
            ]
            assert trial["spec"]["chain"]["epochs"] == 2
        else:
            assert "chain" not in trial["spec"]


def test_a_trial_waits_for_the_search_above_it_and_no_longer(tmp_path: Path) -> None:
    spec = chained(trials=1)
    source = open_sweep(tmp_path, spec)
    first = source.next()
    assert first is not None
    assert source.next() is None
    assert source.left == 3
    source.searched(first.trial)  # it is fine-tuned, and has no record
    second = source.next()
    assert second is not None
    assert second.follows == first.trial
    assert source.next() is None


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_one_chain_more_than_slots_is_under_way(tmp_path: Path, slots: int) -> None:
    source = Suggestions.open(TrialIndex.read(tmp_path, chained(trials=8)), slots)
    begun = []
    while (trial := source.next()) is not None:
        begun.append(trial.trial)
    assert len(begun) == slots + 1


def test_the_study_knows_a_chain_by_its_hypervolume(tmp_path: Path) -> None:
    spec = chained()
    trials = drive(tmp_path / "s", spec)
    study = study_of(tmp_path / "s", spec)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE"]
    told = study.get_trials(deepcopy=False)
    assert len(told) == 3
    for one in told:
        head = int(one.user_attrs["trial"])
        members = [trial for trial in trials if trial["params"] == trials[head]["params"]]
        points = []
        for trial in members:
            record = read_record(trial_folder(tmp_path / "s", trial["trial"]))
            assert record is not None
            assert record.subnet is not None
            assert record.dense is not None
            assert record.subnet.top1_val is not None
            points.append((record.subnet.macs / record.dense.macs, record.subnet.top1_val / 100))
        assert one.value == pytest.approx(volume(points))


def test_hypervolume_of_points_counted_by_hand() -> None:
    assert volume([]) == 0
    assert volume([(0.5, 0.8)]) == pytest.approx(0.4)
    assert volume([(0.5, 0.8), (0.25, 0.6)]) == pytest.approx(0.25 * 0.6 + 0.5 * 0.8)
    assert volume([(0.5, 0.8), (0.75, 0.7), (1.2, 0.9)]) == pytest.approx(0.4)  # dominated, dearer than dense
    assert volume([(0.5, 0.8), (0.25, 0.4)], reference_top1=0.5) == pytest.approx(0.15)


def test_told_trial_by_trial_all_are_in_the_study(tmp_path: Path) -> None:
    spec = chained(chain={"epochs": 2, "tell": "trials"}, sampler="tpe")
    trials = drive(tmp_path / "s", spec, restart=True)
    told = study_of(tmp_path / "s", spec).get_trials(deepcopy=False)
    assert sorted(int(one.user_attrs["trial"]) for one in told) == list(range(9))
    assert all(one.state == TrialState.COMPLETE and len(one.values) == 2 for one in told)
    for trial in trials:
        if "follows" in trial:
            assert trial["params"] == trials[trial["follows"]]["params"]


@pytest.mark.parametrize("tell", ["hypervolume", "trials"])
def test_a_driver_that_is_killed_all_the_time_issues_the_same_trials(tmp_path: Path, tell: str) -> None:
    """Whatever the order, seeded samplers draw a chain's values by the chain's own place."""
    spec = chained(trials=4, chain={"epochs": 2, "tell": tell})
    whole, broken = drive(tmp_path / "a", spec), drive(tmp_path / "b", spec, slots=2, restart=True)
    one_slot = drive(tmp_path / "c", spec, slots=1)
    keys = [{trial["key"] for trial in trials} for trials in (whole, broken, one_slot)]
    assert len(keys[0]) == 12
    assert keys[0] == keys[1] == keys[2]


def test_the_study_is_made_again_from_the_folders(tmp_path: Path) -> None:
    spec = chained()
    drive(tmp_path / "s", spec)
    before = [(one.params, one.values, one.state) for one in study_of(tmp_path / "s", spec).get_trials()]
    (tmp_path / "s" / "study.journal").unlink()
    assert [(one.params, one.values, one.state) for one in study_of(tmp_path / "s", spec).get_trials()] == before


def test_a_failed_point_ends_the_rest_of_its_chain(tmp_path: Path) -> None:
    spec, results = chained(trials=2), tmp_path / "s"

    def ends(trial: Json) -> Json:
        return FAILED if trial["trial"] == bad else {}

    bad = next(trial["trial"] for trial in drive(tmp_path / "try", spec) if budget_of(trial) == 0.5)
    trials = drive(results, spec, ends=ends)
    outcome = {number: read_record(trial_folder(results, number)) for number in range(6)}
    below = next(trial["trial"] for trial in trials if trial.get("follows") == bad)
    last = outcome[below]
    assert last is not None
    assert last.status == "failed"
    assert last.reason == f"its chain ended at budget 0.5: trial {bad} failed: loss is NaN"
    assert sorted(record.status for record in outcome.values() if record) == ["failed"] * 2 + ["finished"] * 4
    values = [one.value for one in study_of(results, spec).get_trials() if one.value is not None]
    assert len(values) == 2  # one point is a front, too

    # Tried again, both come to an end, and the study learns the chain's new value.
    index = TrialIndex.read(results, spec)
    assert retry_failed(SweepResults(results, None), index) == [bad, below]
    drive(results, spec)
    again = [one.value for one in study_of(results, spec).get_trials() if one.value is not None]
    assert len(again) == 2
    assert sum(again) > sum(values)


def test_where_fine_tuning_fails_the_chain_goes_on_from_the_search(tmp_path: Path) -> None:
    spec = chained(trials=1)
    ends = {**FAILED, "arch": {"widths": {}}}
    trials = drive(tmp_path / "s", spec, ends=lambda trial: ends if budget_of(trial) == 0.5 else {})
    records = [read_record(trial_folder(tmp_path / "s", trial["trial"])) for trial in trials]
    assert [record.status for record in records if record] == ["finished", "failed", "finished"]


def test_a_chain_whose_first_point_failed_fails_as_a_whole(tmp_path: Path) -> None:
    spec = chained(trials=2)
    trials = drive(tmp_path / "s", spec, ends=lambda trial: FAILED if trial["trial"] == 0 else {})
    reasons = [read_record(trial_folder(tmp_path / "s", trial["trial"])) for trial in trials]
    assert sum(record is not None and "trial 0 failed: loss is NaN" in record.reason for record in reasons) == 2
    states = sorted(one.state.name for one in study_of(tmp_path / "s", spec).get_trials())
    assert states == ["COMPLETE", "FAIL"]


def test_a_smaller_budget_goes_on_from_the_end(tmp_path: Path) -> None:
    results, spec = tmp_path / "s", chained()
    before = drive(results, spec)
    write_sweep(results, spec)
    longer = chained(budgets=[*BUDGETS, 0.125])
    with pytest.raises(InputError, match="--extend"):
        check_same_sweep(results, longer)
    check_same_sweep(results, longer, extend=True)
    trials = drive(results, longer)
    assert trials[:9] == before
    assert [budget_of(trial) for trial in trials[9:]] == [0.125] * 3
    assert sorted(budget_of(trials[trial["follows"]]) for trial in trials[9:]) == [0.25] * 3
    assert all(one.state == TrialState.COMPLETE for one in study_of(results, longer).get_trials())


def test_a_budget_between_others_would_change_what_is_there(tmp_path: Path) -> None:
    results, spec = tmp_path / "s", chained()
    drive(results, spec)
    write_sweep(results, spec)
    with pytest.raises(InputError, match=r"goes on from its end: new budgets come after 0\.25"):
        check_same_sweep(results, chained(budgets=[0.75, 0.6, 0.5, 0.25]), extend=True)


def test_seeds_and_grid_points_have_chains_of_their_own(tmp_path: Path) -> None:
    spec = chained(trials=1, seeds=[0, 1], grid={"search.mask": ["both", "sparsity"]})
    trials = drive(tmp_path / "s", spec)
    assert len(trials) == 12
    for trial in trials:
        if "follows" in trial:
            above = trials[trial["follows"]]
            assert {**above["cell"], "budget": 0} == {**trial["cell"], "budget": 0}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"budgets": [0.5]}, "at least two budgets"),
        ({"budgets": [0.25, 0.5]}, "budget 0.5 is not below 0.25"),
        ({"budgets": [0.5, {"gmacs": 1}]}, "of one kind"),
        ({"constraints": [{"metric": "macs", "max": 1e9}]}, "constraints judges single trials"),
        ({"warm_start": ["x"]}, "warm_start judges single trials"),
        ({"objectives": [{"metric": "params", "goal": "minimize"}]}, "objectives judges single trials"),
    ],
)
def test_what_a_chain_cannot_be_is_said(changes: Json, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        chained(**changes)
    if "judges" in fault:
        chained(**changes, chain={"epochs": 1, "tell": "trials"})


def test_sparsities_and_absolute_budgets_descend_too() -> None:
    chained(budgets=[{"sparsity": 0.2}, {"sparsity": 0.5}])
    chained(budgets=[{"params": 2e6}, {"params": 1e6}])
    with pytest.raises(ValueError, match="is not below"):
        chained(budgets=[{"sparsity": 0.5}, {"sparsity": 0.2}])


def test_without_a_chain_nothing_changes(tmp_path: Path) -> None:
    spec = sweep(trials=2)
    assert "chain" not in spec.trial(spec.cells[1], {}).model_dump(mode="json")
    source = open_sweep(tmp_path, spec)
    assert [trial.follows for trial in iter(source.next, None)] == [None] * 4


def test_a_point_that_was_stopped_early_has_left_its_search(tmp_path: Path) -> None:
    """A gate ends fine-tuning: the chain goes on, and its front has a point less."""
    stopped: Json = {"status": "stopped", "reason": "gate", "subnet": None}
    spec = chained(trials=1)
    trials = drive(tmp_path / "s", spec, ends=lambda trial: stopped if budget_of(trial) == 0.5 else {})
    records = [read_record(trial_folder(tmp_path / "s", trial["trial"])) for trial in trials]
    assert [record.status for record in records if record] == ["finished", "stopped", "finished"]
    (told,) = study_of(tmp_path / "s", spec).get_trials()
    points = [
        (each.subnet.macs / each.dense.macs, (each.subnet.top1_val or 0) / 100)
        for each in records
        if each and each.subnet and each.dense
    ]
    assert len(points) == 2
    assert told.value == pytest.approx(volume(points))


def test_promoted_trials_take_over_the_search_of_their_link(tmp_path: Path) -> None:
    spec = chained(trials=2, finetune={"epochs": 2}, promote={"best": 1, "epochs": 5})
    drive(tmp_path / "s", spec)
    index = TrialIndex.read(tmp_path / "s", spec)
    promotions = Promotions(index)
    assert promotions.left == 3
    for promoted in iter(promotions.next, None):
        assert promoted.promotes is not None
        donor = index.trial(promoted.promotes)
        assert promoted.resolved().search_key == donor.resolved().search_key
        assert promoted.spec.get("chain") == donor.spec.get("chain")
        assert promoted.follows is None
    kept = tmp_path / "s" / "shared" / "search-x"
    kept.mkdir(parents=True)
    promotions.remove_searches()
    assert kept.exists()  # a smaller budget may come
    assert open_sweep(tmp_path / "s", spec).next() is None
