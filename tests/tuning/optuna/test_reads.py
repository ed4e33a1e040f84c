"""Suggestions and promotions by the index of trials: what they read, and how often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.results import files
from ofb_ray.results.files import JsonFile, TrialFile
from ofb_ray.results.index import TrialIndex
from ofb_ray.tuning.lifecycle.promote import Promotions
from ofb_ray.tuning.optuna.study import Suggestions
from tests.tuning.optuna.studies import close, finish, sweep

# Two budgets with thirteen trials each, of which two are promoted.
THIRTY: dict[str, Any] = {"trials": 13, "finetune": {"epochs": 5}, "promote": {"best": 2, "epochs": 9}}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each trial.json is read in this process, by the name of its trial."""
    counted: Counter[str] = Counter()
    real = JsonFile.read.__func__  # type: ignore[attr-defined]

    def read(cls: type[JsonFile], folder: Path) -> JsonFile | None:
        if cls is TrialFile and (folder / files.TRIAL_FILE).exists():
            counted[folder.name] += 1
        found: JsonFile | None = real(cls, folder)
        return found

    monkeypatch.setattr(JsonFile, "read", classmethod(read))
    return counted


def run(source: Suggestions | Promotions, trials: int) -> int:
    """Up to so many trials of a source, one after the other; how many there were."""
    for done in range(trials):
        if (trial := source.next()) is None:
            return done
        finish(source.index.results, source.spec, trial.trial)
        close(source, trial.trial)
    return trials


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
def test_a_driver_reads_no_trial_that_it_has_issued_and_each_other_once(
    tmp_path: Path, reads: Counter[str], sampler: str
) -> None:
    """A sweep of thirty trials, interrupted after twelve."""
    spec = sweep(sampler=sampler, **THIRTY)
    assert run(Suggestions.open(TrialIndex.read(tmp_path, spec)), 12) == 12
    assert not reads
    index = TrialIndex.read(tmp_path, spec)
    assert run(Suggestions.open(index), 30) == 26 - 12
    assert run(Promotions(index), 30) == 4
    assert (index.done, index.total, index.suggestions_left, index.promotions_left) == (30, 30, 0, 0)
    assert reads == {f"{number:05d}": 1 for number in range(12)}


def test_a_grid_is_gone_through_once_by_several_launches(tmp_path: Path, reads: Counter[str]) -> None:
    values = {"search.lr": {"values": [1e-3, 2e-3, 3e-3]}, "search.epochs": {"values": [5, 6, 7, 8, 9]}}
    spec = sweep(sampler="grid", parameters=values, trials=None)
    for _ in range(3):
        assert run(Suggestions.open(TrialIndex.read(tmp_path, spec)), 10) == 10
    trials = TrialIndex.read(tmp_path, spec).suggested
    tried = Counter((trial.label, *trial.params.values()) for trial in trials)
    assert len(tried) == len(trials) == 30
    assert max(reads.values()) == 3  # once a launch after its own, and once here
