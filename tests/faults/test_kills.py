"""Kills at random moments over all roles: nothing is lost, repeated or different. `$OFB_RAY_KILLS` says how many."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from ofb_ray.results.files import JOURNAL_FILE
from ofb_ray.results.records import read_record
from tests.faults.chaos import BUDGETS, ROLES, TRIALS, Chaos, outcome, undisturbed

KILLS = int(os.environ.get("OFB_RAY_KILLS", "30"))
TOTAL = len(BUDGETS) * TRIALS


@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
def test_kills_lose_repeat_and_change_nothing(tmp_path: Path) -> None:
    reference = tmp_path / "undisturbed"
    reference.mkdir()
    expected = undisturbed(reference)
    assert len(expected) == TOTAL
    quota = Counter({role: max(1, round(count * KILLS / 30)) for role, count in ROLES.items()})
    kills, lost, repeated, rounds = Counter[str](), 0, 0, 0
    while quota:
        place = tmp_path / f"round{rounds}"
        place.mkdir()
        chaos = Chaos(place, random.Random(rounds), quota)
        chaos.run()
        quota = chaos.quota
        found = outcome(chaos.results)
        assert found == expected
        lost += TOTAL - len(found)
        repeated += len(chaos.changed)
        assert_study_equals_records(chaos.results)
        kills.update(chaos.kills)
        rounds += 1
    print(f"{kills.total()} kills ({dict(kills)}), {rounds * TOTAL} trials, {lost} lost, {repeated} repeated")
    assert kills.total() >= min(KILLS, sum(ROLES.values()))
    assert (lost, repeated) == (0, 0)


def assert_study_equals_records(results: Path) -> None:
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(results / JOURNAL_FILE)))
    study = optuna.load_study(study_name="s", storage=storage)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * TOTAL
    by_number = {trial.user_attrs["trial"]: trial for trial in study.trials}
    assert sorted(by_number) == list(range(TOTAL))
    for number, trial in by_number.items():
        record = read_record(results / f"{number:05d}")
        assert record is not None
        assert record.subnet is not None
        assert trial.values == [record.subnet.top1_val, record.subnet.macs]
        known = {key: value for key, value in trial.params.items() if key in record.params_explored}
        assert known == record.params_explored
