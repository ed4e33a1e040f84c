"""Sweeps that grow, and a journal that is made again from the trial folders."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from ofb_ray.config import Json
from ofb_ray.results.files import JOURNAL_FILE, TRIAL_FILE, trial_folder
from ofb_ray.results.index import TrialIndex
from ofb_ray.tuning.optuna.study import Suggestions
from tests.tuning.optuna.studies import FAILED, close, finish, issue, open_sweep, run_all, sweep, trial_json


def issued(results: Path) -> dict[int, Json]:
    return {int(path.parent.name): json.loads(path.read_text()) for path in sorted(results.glob(f"*/{TRIAL_FILE}"))}


def turns(results: Path) -> list[tuple[float, int]]:
    cells = [tree["cell"] for tree in issued(results).values()]
    return [(cell["budget"]["macs_ratio"], cell["seed"]) for cell in cells]


def facts_of(suggestions: Suggestions) -> list[tuple[int, Json, str, list[float] | None, Json]]:
    """What the study knows of each trial, by number: it must be the same however it was learnt."""
    return sorted(
        (trial.user_attrs["trial"], trial.params, trial.state.name, trial.values, trial.constraints)
        for trial in suggestions.study.trials
    )


@pytest.mark.parametrize(
    ("changes", "new"),
    [
        ({"trials": 3}, [(0.5, 0), (0.75, 0)]),
        ({"seeds": [0, 1]}, [(0.5, 1), (0.75, 1)] * 2),
        ({"seeds": [1, 0]}, [(0.5, 1), (0.75, 1)] * 2),
        ({"budgets": [0.25, 0.5, 0.75]}, [(0.25, 0)] * 2),
        ({"budgets": [0.5, 0.75, 0.25], "trials": 3}, [(0.25, 0)] * 2 + [(0.5, 0), (0.75, 0), (0.25, 0)]),
        ({"trials": 1}, []),
    ],
)
def test_an_extended_sweep_gives_new_trials_to_the_cells_that_have_fewest(
    tmp_path: Path, changes: Json, new: list[tuple[float, int]]
) -> None:
    run_all(tmp_path, sweep(sampler="tpe", trials=2))
    before = issued(tmp_path)
    after = sweep(sampler="tpe", **{"trials": 2, **changes})
    assert TrialIndex.read(tmp_path, after).total == open_sweep(tmp_path, after).index.suggestions == 4 + len(new)
    run_all(tmp_path, after, restart_every=1)
    assert turns(tmp_path)[4:] == new
    assert {number: tree for number, tree in issued(tmp_path).items() if number < 4} == before
    study = open_sweep(tmp_path, after).study
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * (4 + len(new))


def test_the_first_trial_of_a_new_cell_has_the_files_own_values(tmp_path: Path) -> None:
    run_all(tmp_path, sweep(sampler="random", trials=2))
    run_all(tmp_path, sweep(sampler="random", trials=2, budgets=[0.5, 0.75, 0.25]))
    assert trial_json(tmp_path, 4)["params"] == {"search.lr": 1e-3, "search.eliminations_per_epoch": 3}
    assert trial_json(tmp_path, 5)["params"] != trial_json(tmp_path, 4)["params"]


def lose_journal(results: Path) -> None:
    (results / JOURNAL_FILE).unlink()


def zeros(results: Path) -> None:
    """What a power cut may leave."""
    with (results / JOURNAL_FILE).open("ab") as file:
        file.write(bytes(64) + b"\n")


def another_study(results: Path) -> None:
    journal = results.parent / "other" / JOURNAL_FILE
    run_all(journal.parent, sweep(name="other", sampler="random"))
    shutil.copy(journal, results / JOURNAL_FILE)


def older_version(results: Path) -> None:
    """Trials without the number of their folder."""
    lines = [json.loads(line) for line in (results / JOURNAL_FILE).read_text().splitlines()]
    lines = [{**line, "user_attrs": {}} if "user_attrs" in line else line for line in lines]
    (results / JOURNAL_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))


def half_a_journal(results: Path) -> None:
    lines = (results / JOURNAL_FILE).read_bytes().splitlines(keepends=True)
    (results / JOURNAL_FILE).write_bytes(b"".join(lines[: len(lines) // 2]))


def half_a_rebuild(results: Path) -> None:
    """Killed while a new journal was written, the old one gone bad."""
    (results / JOURNAL_FILE).rename(results / f"{JOURNAL_FILE}.new")


@pytest.mark.parametrize("damage", [lose_journal, zeros, another_study, older_version, half_a_journal, half_a_rebuild])
def test_a_journal_that_disagrees_is_derived_from_the_trial_folders(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    results = tmp_path / "s"
    results.mkdir()
    spec = sweep(sampler="nsga2", constraints=[{"metric": "macs", "max": 6e5}])
    suggestions = open_sweep(results, spec)
    for number in range(7):
        issue(suggestions)
        if number != 3:
            finish(results, spec, number, **(FAILED if number == 4 else {}))
            close(suggestions, number)
    before, trees = facts_of(suggestions), issued(results)
    damage(results)
    again = open_sweep(results, spec)
    assert facts_of(again) == before
    assert [issue(again), issue(again)] == [3, 7]
    assert {number: tree for number, tree in issued(results).items() if number < 7} == trees


def test_an_intact_journal_is_left_as_it_is(tmp_path: Path) -> None:
    run_all(tmp_path, sweep(sampler="random"))
    before = (tmp_path / JOURNAL_FILE).stat().st_ino
    open_sweep(tmp_path, sweep(sampler="random"))
    assert (tmp_path / JOURNAL_FILE).stat().st_ino == before


def test_a_rebuilt_journal_keeps_the_generations_of_a_genetic_sampler(tmp_path: Path) -> None:
    spec = sweep(sampler={"name": "nsga2", "population_size": 4})
    run_all(tmp_path, spec)

    def generations() -> list[int]:
        trials = open_sweep(tmp_path, spec).study.trials
        return [trial.system_attrs["NSGAIISampler:generation"] for trial in trials]

    before = generations()
    lose_journal(tmp_path)
    assert generations() == before == [number // 4 for number in range(16)]


@pytest.mark.parametrize("sampler", ["qmc", "tpe"])
def test_a_rebuilt_journal_changes_no_suggestion(tmp_path: Path, sampler: str) -> None:
    spec = sweep(sampler=sampler)
    once = run_all(tmp_path / "a", spec)
    results = tmp_path / "b"
    results.mkdir()
    for number in range(16):
        (results / JOURNAL_FILE).unlink(missing_ok=True)
        assert issue(open_sweep(results, spec)) == number
        finish(results, spec, number)
    assert [trial_json(results, number)["params"] for number in range(16)] == [tree["params"] for tree in once]


def test_a_trial_folder_that_was_removed_is_filled_again(tmp_path: Path) -> None:
    spec = sweep(sampler="random", trials=2)
    run_all(tmp_path, spec)
    shutil.rmtree(trial_folder(tmp_path, 1))
    assert issue(open_sweep(tmp_path, spec)) == 1
    assert Counter(turns(tmp_path)) == {(0.5, 0): 2, (0.75, 0): 2}
