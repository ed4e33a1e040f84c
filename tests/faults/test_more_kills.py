"""Kills where they are rare: a rank of two workers, a promotion, an export. By hand: OFB_RAY_NIGHTLY=1."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import ofb_ray
from ofb_ray.export.folder import export_trial
from tests.export.trials import subnet, write_trial
from tests.faults.chaos import NIGHTLY, SWEEP, Chaos, outcome, undisturbed
from tests.processes import Forked

KILLS = int(os.environ.get("OFB_RAY_KILLS", "30"))
SWEEPS: dict[str, dict[str, Any]] = {
    # Each trial is two processes; either of them, the driver or the node dies.
    "workers": {**SWEEP, "budgets": [0.5], "trials": 3, "resources": {"workers": 2, "concurrent": 1}},
    "promotion": {
        **SWEEP,
        "budgets": [0.5],
        "finetune": {"epochs": 10, "batch_size": 32},
        "promote": {"best": 2, "epochs": 40},
    },
}
ROLES = {
    "workers": {"trial": 5, "other rank": 5, "node": 2, "driver": 2},
    "promotion": {"trial": 6, "driver": 4, "node": 2},
}


@NIGHTLY
@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
@pytest.mark.parametrize("kind", SWEEPS)
def test_kills_lose_repeat_and_change_nothing(tmp_path: Path, kind: str) -> None:
    (tmp_path / "undisturbed").mkdir()
    expected = undisturbed(tmp_path / "undisturbed", SWEEPS[kind])
    quota = Counter({role: max(1, round(count * KILLS / 30)) for role, count in ROLES[kind].items()})
    kills, repeated, rounds = Counter[str](), 0, 0
    while quota:
        place = tmp_path / f"round{rounds}"
        place.mkdir()
        chaos = Chaos(place, random.Random(200 + rounds), quota, SWEEPS[kind])
        chaos.run()
        quota = chaos.quota
        assert outcome(chaos.results) == expected
        repeated += len(chaos.changed)
        kills.update(chaos.kills)
        rounds += 1
    print(
        f"{kind}: {kills.total()} kills ({dict(kills)}), {rounds * len(expected)} trials, 0 lost, {repeated} repeated"
    )
    assert repeated == 0


def export_again_and_again(trial: str, to: str) -> None:
    for number in range(1000):
        export_trial(Path(trial), Path(to) / str(number))


@pytest.mark.slow
def test_a_killed_export_leaves_a_whole_folder_or_none(tmp_path: Path) -> None:
    write_trial(tmp_path / "trial", "plain", *subnet("plain"))
    rng, whole = random.Random(0), 0
    for turn in range(max(3, KILLS * 2 // 3)):
        to = tmp_path / str(turn)
        to.mkdir()
        process = Forked(
            export_again_and_again, str(tmp_path / "trial"), str(to), cwd=tmp_path, env={"OMP_NUM_THREADS": "1"}
        )
        while not any(to.iterdir()):
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 1.5))
        process.kill()
        done = [folder for folder in to.iterdir() if not folder.name.startswith(".")]
        for folder in done:
            ofb_ray.load(folder)
            assert (folder / "README.md").exists()
        whole += len(done)
        torn = [folder.name.split(".")[1] for folder in to.iterdir() if folder.name.startswith(".")]
        for name in torn:
            export_trial(tmp_path / "trial", to / name)
        assert not [folder for folder in to.iterdir() if folder.name.startswith(".")]
    assert whole
    print(f"{turn + 1} kills in the middle of an export: {whole} whole folders, no other")
