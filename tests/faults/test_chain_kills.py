"""Kills at random moments of a sweep with chains: nothing is lost, repeated or different, whoever waits for whom."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from ofb_ray.results.files import JOURNAL_FILE, TrialFile, trial_folders
from ofb_ray.results.ranking import hypervolume
from ofb_ray.results.records import read_record
from tests.faults.chaos import CHAIN, Chaos, outcome, undisturbed

KILLS = max(4, int(os.environ.get("OFB_RAY_KILLS", "30")) * 2 // 3)
ROLES = {"trial": 10, "driver": 6, "node": 4}
TOTAL = len(CHAIN["budgets"]) * CHAIN["trials"]


@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
def test_kills_during_chains_lose_repeat_and_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "undisturbed").mkdir()
    expected = undisturbed(tmp_path / "undisturbed", CHAIN)
    assert len(expected) == TOTAL
    quota = Counter({role: max(1, round(count * KILLS / sum(ROLES.values()))) for role, count in ROLES.items()})
    kills, repeated, rounds = Counter[str](), 0, 0
    while quota:
        place = tmp_path / f"round{rounds}"
        place.mkdir()
        chaos = Chaos(place, random.Random(100 + rounds), quota, CHAIN)
        chaos.run()
        quota = chaos.quota
        assert outcome(chaos.results) == expected
        repeated += len(chaos.changed)
        assert_chains_are_whole(chaos.results)
        kills.update(chaos.kills)
        rounds += 1
    print(f"{kills.total()} kills ({dict(kills)}), {rounds * TOTAL} trials, 0 lost, {repeated} repeated")
    assert kills.total() >= KILLS - len(ROLES)
    assert repeated == 0


def assert_chains_are_whole(results: Path) -> None:
    """Every trial follows the one of the budget above with its values, and the study knows each chain's front."""
    trials = {trial.trial: trial for folder in trial_folders(results) if (trial := TrialFile.read(folder)) is not None}
    points: dict[str, list[tuple[float, float]]] = {}
    for trial in trials.values():
        record = read_record(results / f"{trial.trial:05d}")
        assert record is not None
        assert record.subnet is not None
        assert record.subnet.top1_val is not None
        assert record.dense is not None
        point = (record.subnet.top1_val / 100, record.subnet.macs / record.dense.macs)
        points.setdefault(str(trial.params), []).append(point)
        above = (trial.spec.get("chain") or {}).get("above", ())
        assert (trial.follows is None) == (not above)
        if trial.follows is not None:
            assert trials[trial.follows].params == trial.params
            assert trials[trial.follows].spec["budget"]["macs_ratio"] == above[-1]["macs_ratio"]
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(results / JOURNAL_FILE)))
    told = optuna.load_study(study_name="s", storage=storage).trials
    assert [one.state for one in told] == [TrialState.COMPLETE] * CHAIN["trials"]
    assert sorted(one.value for one in told if one.value is not None) == pytest.approx(
        sorted(hypervolume(front, (0.0, 1.0)) for front in points.values())
    )
