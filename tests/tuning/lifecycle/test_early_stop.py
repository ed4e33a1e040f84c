"""The gate: what it decides, that a decision is made once, and trials and sweeps that it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from pydantic import ValidationError

from ofb_ray.config import GateSpec, SweepSpec, TrialSpec
from ofb_ray.config.load import load_sweep
from ofb_ray.errors import InputError
from ofb_ray.results import records
from ofb_ray.results.atomic import read_json
from ofb_ray.results.attempt import Attempt, attempt
from ofb_ray.results.files import (
    GATE_FILE,
    STATE_FILE,
    TRIAL_FILE,
    WEIGHTS_FILE,
    GateDecision,
    TrialFile,
    trial_folder,
    trial_folders,
)
from ofb_ray.results.locations import CACHE_VARIABLE, local_copy
from ofb_ray.train.team import Team
from ofb_ray.trial.run import run_trial
from ofb_ray.tuning.lifecycle.early_stop import EarlyStop, EpochFacts, decide, decisions, early_stop
from ofb_ray.tuning.optuna.journal import open_study
from tests.small import small_spec
from tests.tuning.test_launch import ROOT, command, start
from tests.workers import in_processes

SPEC = GateSpec(epochs=2, keep=0.5, min_trials=4)
GATED = {
    "finetune": {"epochs": 4},
    "scheduler": {"gate": {"epochs": 2, "keep": 0.5, "min_trials": 3}},
    "parameters": {"search.lr": {"values": [1e-3, 2e-3, 3e-3, 4e-3, 5e-3]}},
    "sampler": "grid",
}


def facts(top1: float = 90.0, used: float = 1.0, epoch: int = 2) -> dict[str, Any]:
    return {"epoch": epoch, "epochs": 10, "top1_val": top1, "used": used}


def decision(top1: float, label: str = "0.5") -> GateDecision:
    return GateDecision(label=label, epoch=2, top1_val=top1, used=1.0, rank=1, place=1, of=1, stop=False, reason="gate")


def others(*top1: float) -> list[GateDecision]:
    return [decision(each) for each in top1]


@pytest.mark.parametrize(
    ("own", "siblings", "keep", "stop"),
    [
        (facts(10), others(90, 91), 0.5, False),  # two before it are too few to judge by
        (facts(10), others(90, 91, 92), 0.5, True),
        (facts(91.5), others(90, 91, 92), 0.5, False),
        (facts(91), others(90, 91, 92), 0.5, False),  # equals share a place: 2 of 4
        (facts(90.5), others(90, 91, 92), 0.5, True),
        (facts(91), others(92, 93, 94, 95), 0.5, True),  # 5 of 5; the best half of five is three
        (facts(93), others(91, 92, 94, 95), 0.5, False),
        (facts(92), others(90, 91, 93), 0.25, True),
        (facts(10, used=0.99), others(90, 91, 92), 0.5, True),  # a cheap subnet within the promised percent
        (facts(10, used=0.6), others(90, 91, 92), 0.5, False),  # one that is really cheaper
    ],
)
def test_it_stops_what_is_outside_the_best_share(
    own: dict[str, Any], siblings: list[GateDecision], keep: float, stop: bool
) -> None:
    spec = GateSpec(epochs=2, keep=keep, min_trials=4)
    assert decide(spec, EpochFacts(**own), "0.5", siblings).stop is stop


def asking(number: int, label: str = "0.5") -> TrialFile:
    spec = small_spec()
    return TrialFile(trial=number, key=spec.key, label=label, spec=spec.model_dump(mode="json"))


def put(results: Path, number: int, top1: float, label: str = "0.5") -> None:
    decision(top1, label).write(trial_folder(results, number))


def made(results: Path, number: int, kind: type[Attempt] = Attempt) -> EarlyStop:
    return EarlyStop(SPEC, asking(number), kind(trial_folder(results, number), print))


def test_it_compares_trials_of_one_budget_and_asks_once(tmp_path: Path) -> None:
    for number, top1 in enumerate([91.0, 92.0, 93.0]):
        put(tmp_path, number, top1)
    for number in range(3, 7):
        put(tmp_path, number, 10.0, "0.75")
    assert [each.top1_val for each in decisions(tmp_path, asking(1))] == [91.0, 93.0]
    gate = made(tmp_path, 9)
    assert gate(facts(epoch=1)) is None
    assert not (tmp_path / "00009").exists()  # nothing is decided before its epoch
    reason = gate(facts())
    assert reason is not None
    assert "place 4 of 4 at budget 0.5 after 2 fine-tune epochs (90.00 %)" in reason
    for number in range(10, 20):
        put(tmp_path, number, 1.0)  # with these it would go on
    assert gate(facts()) == reason
    assert made(tmp_path, 9)(facts()) == reason
    assert made(tmp_path, 20)(facts()) is None


def test_no_gate_no_question(tmp_path: Path) -> None:
    assert early_stop(None, asking(0), Attempt(tmp_path, print)) is None


class Killed(Attempt):
    """A process that dies when its decision is on the disk, and not acted upon."""

    def decided(self) -> None:
        raise KeyboardInterrupt


def test_a_trial_that_dies_at_the_gate_keeps_the_decision(tmp_path: Path) -> None:
    """Real training: it is stopped after the second of five epochs, and leaves all that is known, but no checkpoint."""
    spec = small_spec(finetune={"epochs": 5})
    folder = trial_folder(tmp_path, 5)
    for number in range(3):
        put(tmp_path, number, 99.9)
    with pytest.raises(KeyboardInterrupt):
        run_trial(spec, lambda _: None, folder, shared=tmp_path / "shared", gate=made(tmp_path, 5, Killed))
    assert (folder / STATE_FILE).exists()
    for number in range(10, 20):
        put(tmp_path, number, 1.0)  # asked again, it would go on
    record = run_trial(spec, lambda _: None, folder, shared=tmp_path / "shared", gate=made(tmp_path, 5))
    assert record.status == "stopped"
    assert record.reason == read_json(folder / GATE_FILE)["reason"]
    rows = [row for row in record.history if row["phase"] == "finetune"]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert read_json(folder / GATE_FILE)["top1_val"] == rows[-1]["top1_val"]
    assert 0.9 < read_json(folder / GATE_FILE)["used"] <= 1
    assert record.subnet is None
    assert record.dense is not None
    assert record.arch is not None
    assert record.seconds["finetune"] > 0
    assert records.read_record(folder) == record
    assert not (folder / STATE_FILE).exists()
    assert not (folder / WEIGHTS_FILE).exists()


def test_a_gate_that_lets_go_on_changes_no_number(tmp_path: Path) -> None:
    """And it is asked after every epoch but the last, with the accuracy of that epoch."""
    spec = small_spec()
    asked: list[tuple[int, int, float]] = []

    def gate(facts: dict[str, Any]) -> None:
        asked.append((facts["epoch"], facts["epochs"], facts["top1_val"]))

    with_gate = run_trial(spec, lambda _: None, tmp_path / "a", shared=tmp_path / "shared", gate=gate)
    without = run_trial(spec, lambda _: None, tmp_path / "b", shared=tmp_path / "shared")
    rows = [row for row in without.history if row["phase"] == "finetune"]
    assert asked == [(row["epoch"], 3, row["top1_val"]) for row in rows[:-1]]
    assert with_gate.history == without.history
    assert with_gate.subnet == without.subnet


def test_nodes_that_share_a_store_see_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trial on a node of its own, with a cache of its own; a decision is in the store before it takes effect."""
    uri = f"file://{tmp_path}/store"
    (tmp_path / "store/shared").mkdir(parents=True)
    answers = []
    for number, top1 in enumerate([91.0, 92.0, 93.0, 90.0]):
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / f"node{number}"))
        own = trial_folder(local_copy(uri), number)
        with attempt(own, print, uri=uri, dense_key="dense") as files:
            answers.append(EarlyStop(SPEC, asking(number), files, uri)(facts(top1)))
            assert read_json(tmp_path / "store" / f"{number:05d}" / GATE_FILE)["of"] == number + 1
    assert [answer is not None for answer in answers] == [False, False, False, True]


def _on_each_rank(spec: TrialSpec, team: Team) -> tuple[str, str, int]:
    """Only rank 0 has a gate that stops; both must end."""
    folder = Path.cwd() / "trial"
    gate = (lambda facts: "enough") if team.is_main else None
    record = run_trial(spec, lambda _: None, folder, shared=Path.cwd() / "shared", gate=gate)
    return record.status, record.reason, sum(row["phase"] == "finetune" for row in record.history)


@pytest.mark.slow
def test_all_workers_stop_when_rank_0_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    answers = in_processes(_on_each_rank, small_spec(), tmp_path)
    assert answers == [("stopped", "enough", 1)] * 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scheduler": "asha"}, "is `fifo` or has a `gate`"),
        ({"scheduler": {"gate": {"keep": 1.5}}}, "less than 1"),
        ({"parameters": {}, "sampler": "auto"}, "a gate chooses among suggestions"),
        ({"finetune": {"epochs": 2}}, "must be below finetune.epochs"),
        ({"scheduler": {"gate": {"epoch": 2}}}, r"did you mean 'epochs'\? known are epochs, keep, min_trials"),
    ],
)
def test_a_gate_that_cannot_work_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    command(tmp_path, **{**GATED, **changes})
    with pytest.raises(InputError, match=says):
        load_sweep(tmp_path / "s.yaml")


def test_fifo_is_the_default_and_reads_back() -> None:
    spec = SweepSpec.model_validate({"name": "s", "budgets": [0.5], "scheduler": "fifo"})
    assert spec.scheduler.gate is None
    assert SweepSpec.model_validate(spec.model_dump(mode="json")) == spec
    with pytest.raises(ValidationError):
        SweepSpec.model_validate({"name": "s", "budgets": [0.5], "scheduler": {"gates": {}}})


@pytest.mark.slow
def test_a_gated_sweep_stops_trials_and_tells_optuna_so(tmp_path: Path) -> None:
    """One at a time, the best first: per budget the third and fourth trial are outside the best half, rounded up."""
    line = command(tmp_path, **{**GATED, "resources": {"cpus_per_worker": 1, "concurrent": 1}})
    line[line.index("tests.tuning.fake:run_trial")] = "tests.tuning.lifecycle.gated:run_trial"
    process = start(tmp_path, line)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, out + error
    results = tmp_path / "results" / "s"
    trials: dict[str, list[str]] = {}
    for folder in trial_folders(results):
        record = records.read_record(folder)
        assert record is not None
        trials.setdefault(json.loads((folder / TRIAL_FILE).read_text())["label"], []).append(record.status)
        assert (len(record.history) == 2) is (record.status == "stopped")
        assert read_json(folder / GATE_FILE)["stop"] is (record.status == "stopped")
    assert trials == {label: ["finished"] * 2 + ["stopped"] * 3 for label in ("0.5", "0.75")}
    study = open_study(results, load_sweep(tmp_path / "s.yaml"))
    assert study is not None
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    assert (states.count(TrialState.PRUNED), states.count(TrialState.COMPLETE)) == (6, 4)
    assert "stopped: gate: place 3 of 3 at budget 0.5" in out
