"""Failed trials tried again: under their numbers, in their folders, whatever is killed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofb_ray.config import SweepSpec
from ofb_ray.results.atomic import write_json
from ofb_ray.results.driver import SweepResults
from ofb_ray.results.facts import read_facts
from ofb_ray.results.files import ATTEMPTS_FILE, PROGRESS_FILE, RECORD_FILE, trial_folder
from ofb_ray.results.index import TrialIndex
from ofb_ray.tuning.lifecycle.retry import retry_failed
from tests.tuning import test_launch
from tests.tuning.optuna.studies import FAILED, close, finish, issue, open_sweep, sweep


def with_failures(results: Path) -> SweepSpec:
    spec = sweep(sampler="random", trials=2)
    suggestions = open_sweep(results, spec)
    for number in range(4):
        issue(suggestions)
        here = trial_folder(results, number)
        finish(results, spec, number, **(FAILED if number in (1, 2) else {}))
        write_json(here / PROGRESS_FILE, {"phase": "search"})
        write_json(here / ATTEMPTS_FILE, {"attempts": []})
        close(suggestions, number)
    return spec


def retry(results: Path, spec: SweepSpec) -> list[int]:
    return retry_failed(SweepResults(results), TrialIndex.read(results, spec))


def test_failed_trials_are_tried_again_under_their_numbers(tmp_path: Path) -> None:
    spec = with_failures(tmp_path)
    trees = TrialIndex.read(tmp_path, spec).suggested
    first = (trial_folder(tmp_path, 1) / RECORD_FILE).read_bytes()
    assert retry(tmp_path, spec) == [1, 2]
    suggestions = open_sweep(tmp_path, spec)
    assert [issue(suggestions), issue(suggestions), issue(suggestions)] == [1, 2, None]
    here = trial_folder(tmp_path, 1)
    assert not (here / ATTEMPTS_FILE).exists()
    assert not (here / PROGRESS_FILE).exists()
    finish(tmp_path, spec, 1, **FAILED, seconds={"search": 9.0})
    finish(tmp_path, spec, 2)
    close(suggestions, 1)
    close(suggestions, 2)
    assert [trial.state.name for trial in suggestions.study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert retry(tmp_path, spec) == [1]
    assert (here / "record.failed-1.json").read_bytes() == first
    assert (here / "record.failed-2.json").read_bytes() != first
    assert not (here / RECORD_FILE).exists()
    assert TrialIndex.read(tmp_path, spec).suggested == trees


def test_a_retry_that_was_killed_anywhere_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step that changes the folder is cut once; the next call ends where an uncut one would have."""
    real, left = Path.unlink, [0]

    def cut(path: Path, missing_ok: bool = False) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        real(path, missing_ok=missing_ok)

    for point in range(1, 9):  # four removals a trial, two trials
        results = tmp_path / str(point)
        results.mkdir()
        spec = with_failures(results)
        left[0] = point
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", cut)
            with pytest.raises(KeyboardInterrupt):
                retry(results, spec)
        retry(results, spec)
        assert TrialIndex.read(results, spec).failed() == []
        kept = sorted(path.name for path in results.rglob("record.failed*"))
        assert kept == ["record.failed-1.json"] * 2
        suggestions = open_sweep(results, spec)
        assert [issue(suggestions), issue(suggestions), issue(suggestions)] == [1, 2, None]
        assert not (trial_folder(results, 1) / PROGRESS_FILE).exists()


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
    before = {number: (trial_folder(results, number) / "epochs.log").read_bytes() for number in (0, 1, 2, 3)}
    code, out = run(seeds=[0, 13, 1])
    assert code == 2, out
    assert "add --extend" in out
    code, out = run("--extend", "--retry-failed", seeds=[0, 13, 1])
    assert code == 1, out
    assert "trying again: trials 1, 3\n" in out
    facts = read_facts(results)
    assert [(fact.trial.cell["seed"], fact.state) for fact in facts[4:] if fact.trial] == [(1, "finished")] * 2, out
    kept = sorted(path.parent.name for path in results.rglob("record.failed-1.json"))
    assert kept == ["00001", "00003"]
    for number in (0, 2):
        assert (trial_folder(results, number) / "epochs.log").read_bytes() == before[number]
