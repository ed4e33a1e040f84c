"""Sweeps that grow, trials that are tried again, and a journal that is made again from the trial folders."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from ofb_ray import records
from ofb_ray.spec import Json, SweepSpec
from ofb_ray.tuning import folder
from ofb_ray.tuning.failures import ATTEMPTS_FILE
from ofb_ray.tuning.place import Place
from ofb_ray.tuning.retry import failed_trials, retry_failed
from ofb_ray.tuning.study import JOURNAL, Suggestions
from tests.tuning import test_launch
from tests.tuning.studies import finish, run_all, sweep, trial_json

FAILED: Json = {"status": "failed", "reason": "loss is NaN", "subnet": None}


def turns(results: Path) -> list[tuple[float, int]]:
    cells = [tree["cell"] for tree in folder.issued(results).values()]
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
    before = folder.issued(tmp_path)
    after = sweep(sampler="tpe", **{"trials": 2, **changes})
    assert folder.trial_total(after, tmp_path) == Suggestions(tmp_path, after).total == 4 + len(new)
    run_all(tmp_path, after, restart_every=1)
    assert turns(tmp_path)[4:] == new
    assert {number: tree for number, tree in folder.issued(tmp_path).items() if number < 4} == before
    study = Suggestions(tmp_path, after).study
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * (4 + len(new))


def test_the_first_trial_of_a_new_cell_has_the_files_own_values(tmp_path: Path) -> None:
    run_all(tmp_path, sweep(sampler="random", trials=2))
    run_all(tmp_path, sweep(sampler="random", trials=2, budgets=[0.5, 0.75, 0.25]))
    assert trial_json(tmp_path, 4)["params"] == {"search.lr": 1e-3, "search.eliminations_per_epoch": 3}
    assert trial_json(tmp_path, 5)["params"] != trial_json(tmp_path, 4)["params"]


def lose_journal(results: Path) -> None:
    (results / JOURNAL).unlink()


def zeros(results: Path) -> None:
    """What a power cut may leave."""
    with (results / JOURNAL).open("ab") as file:
        file.write(bytes(64) + b"\n")


def another_study(results: Path) -> None:
    journal = results.parent / "other" / JOURNAL
    run_all(journal.parent, sweep(name="other", sampler="random"))
    shutil.copy(journal, results / JOURNAL)


def older_version(results: Path) -> None:
    """Trials without the number of their folder."""
    lines = [json.loads(line) for line in (results / JOURNAL).read_text().splitlines()]
    lines = [{**line, "user_attrs": {}} if "user_attrs" in line else line for line in lines]
    (results / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))


def half_a_journal(results: Path) -> None:
    lines = (results / JOURNAL).read_bytes().splitlines(keepends=True)
    (results / JOURNAL).write_bytes(b"".join(lines[: len(lines) // 2]))


def half_a_rebuild(results: Path) -> None:
    """Killed while a new journal was written, the old one gone bad."""
    (results / JOURNAL).rename(results / f"{JOURNAL}.new")


@pytest.mark.parametrize("damage", [lose_journal, zeros, another_study, older_version, half_a_journal, half_a_rebuild])
def test_a_journal_that_disagrees_is_derived_from_the_trial_folders(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    results = tmp_path / "s"
    results.mkdir()
    spec = sweep(sampler="nsga2", constraints=[{"metric": "macs", "max": 6e5}])
    suggestions = Suggestions(results, spec)
    for number in range(7):
        suggestions.next()
        if number != 3:
            finish(results, spec, number, **(FAILED if number == 4 else {}))
            suggestions.tell(number)
    before, trees = facts_of(suggestions), folder.issued(results)
    damage(results)
    again = Suggestions(results, spec)
    assert facts_of(again) == before
    assert [again.next(), again.next()] == [3, 7]
    assert {number: tree for number, tree in folder.issued(results).items() if number < 7} == trees


def test_an_intact_journal_is_left_as_it_is(tmp_path: Path) -> None:
    run_all(tmp_path, sweep(sampler="random"))
    before = (tmp_path / JOURNAL).stat().st_ino
    Suggestions(tmp_path, sweep(sampler="random"))
    assert (tmp_path / JOURNAL).stat().st_ino == before


def test_a_rebuilt_journal_keeps_the_generations_of_a_genetic_sampler(tmp_path: Path) -> None:
    spec = sweep(sampler={"name": "nsga2", "population_size": 4})
    run_all(tmp_path, spec)

    def generations() -> list[int]:
        trials = Suggestions(tmp_path, spec).study.trials
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
        (results / JOURNAL).unlink(missing_ok=True)
        assert Suggestions(results, spec).next() == number
        finish(results, spec, number)
    assert [trial_json(results, number)["params"] for number in range(16)] == [tree["params"] for tree in once]


def test_a_trial_folder_that_was_removed_is_filled_again(tmp_path: Path) -> None:
    spec = sweep(sampler="random", trials=2)
    run_all(tmp_path, spec)
    shutil.rmtree(records.trial_folder(tmp_path, 1))
    assert Suggestions(tmp_path, spec).next() == 1
    assert Counter(turns(tmp_path)) == {(0.5, 0): 2, (0.75, 0): 2}


def with_failures(results: Path) -> SweepSpec:
    spec = sweep(sampler="random", trials=2)
    suggestions = Suggestions(results, spec)
    for number in range(4):
        suggestions.next()
        here = records.trial_folder(results, number)
        finish(results, spec, number, **(FAILED if number in (1, 2) else {}))
        records.write_json(here / folder.PROGRESS_FILE, {"phase": "search"})
        records.write_json(here / ATTEMPTS_FILE, {"attempts": []})
        suggestions.tell(number)
    return spec


def test_failed_trials_are_tried_again_under_their_numbers(tmp_path: Path) -> None:
    spec = with_failures(tmp_path)
    trees = folder.issued(tmp_path)
    first = (records.trial_folder(tmp_path, 1) / records.RECORD_FILE).read_bytes()
    assert retry_failed(Place(tmp_path)) == [1, 2]
    suggestions = Suggestions(tmp_path, spec)
    assert [suggestions.next(), suggestions.next(), suggestions.next()] == [1, 2, None]
    here = records.trial_folder(tmp_path, 1)
    assert not (here / ATTEMPTS_FILE).exists()
    assert not (here / folder.PROGRESS_FILE).exists()
    finish(tmp_path, spec, 1, **FAILED, seconds={"search": 9.0})
    finish(tmp_path, spec, 2)
    suggestions.tell(1)
    suggestions.tell(2)
    assert [trial.state.name for trial in suggestions.study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert retry_failed(Place(tmp_path)) == [1]
    assert (here / "record.failed-1.json").read_bytes() == first
    assert (here / "record.failed-2.json").read_bytes() != first
    assert not (here / records.RECORD_FILE).exists()
    assert folder.issued(tmp_path) == trees


def test_a_retry_that_was_killed_anywhere_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step that changes the folder is cut once; the next call ends where an uncut one would have."""
    real, left = Path.unlink, [0]

    def cut(path: Path, missing_ok: bool = False) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        real(path, missing_ok=missing_ok)

    for point in range(1, 7):  # three removals a trial, two trials
        results = tmp_path / str(point)
        results.mkdir()
        spec = with_failures(results)
        left[0] = point
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", cut)
            with pytest.raises(KeyboardInterrupt):
                retry_failed(Place(results))
        retry_failed(Place(results))
        assert failed_trials(results) == []
        kept = sorted(path.name for path in results.rglob("record.failed*"))
        assert kept == ["record.failed-1.json"] * 2
        suggestions = Suggestions(results, spec)
        assert [suggestions.next(), suggestions.next(), suggestions.next()] == [1, 2, None]
        assert not (records.trial_folder(results, 1) / folder.PROGRESS_FILE).exists()


@pytest.mark.slow
def test_failed_trials_and_more_seeds_by_one_command(tmp_path: Path) -> None:
    """Seed 13 diverges every time; what has finished stays as it is."""

    def run(*arguments: str, **changes: object) -> tuple[int, str]:
        line = test_launch.command(tmp_path, *arguments, sampler="tpe", loggers=[], **changes)
        process = test_launch.start(tmp_path, line)
        out, error = process.communicate(timeout=120)
        return int(process.returncode), out + error

    results = tmp_path / "results" / "s"
    code, out = run("--retry-failed", seeds=[0, 13])
    assert code == 1, out
    assert "no trial has failed: nothing to retry" in out
    before = {number: (records.trial_folder(results, number) / "epochs.log").read_bytes() for number in (0, 1, 2, 3)}
    code, out = run(seeds=[0, 13, 1])
    assert code == 2, out
    assert "add --extend" in out
    code, out = run("--extend", "--retry-failed", seeds=[0, 13, 1])
    assert code == 1, out
    assert "trying again: trials 1, 3\n" in out
    facts = folder.read_facts(results)
    assert [(fact.cell["seed"], fact.state) for fact in facts[4:]] == [(1, "finished")] * 2, out
    kept = sorted(path.parent.name for path in results.rglob("record.failed-1.json"))
    assert kept == ["00001", "00003"]
    for number in (0, 2):
        assert (records.trial_folder(results, number) / "epochs.log").read_bytes() == before[number]
