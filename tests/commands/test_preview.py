"""`ofb-ray preview`: a front without training, a results folder like any other, that goes on after a crash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ofb_ray import cli
from ofb_ray.results.records import read_record
from tests.small import MODEL
from tests.trial.test_latency import exact_turns

SWEEP = f"""
name: s
model: {json.dumps(MODEL)}
data: {{train_limit: 300}}
dense: {{epochs: 3, batch_size: 32}}
search: {{epochs: 3, batch_size: 32, recipe: paper}}
finetune: {{epochs: 3, batch_size: 32}}
budgets: [0.3, 0.5]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SWEEP)
    return tmp_path


def preview(*arguments: str) -> int:
    return cli.main(["preview", "s.yaml", *arguments])


def test_a_network_for_each_of_eight_budgets(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview() == 0
    out = capsys.readouterr().out
    folder = here / "results/s/preview"
    records = [read_record(path) for path in sorted(folder.glob("0*"))]
    assert len(records) == 8
    costs = [record.subnet.macs for record in records if record and record.subnet]
    assert costs == sorted(costs, reverse=True)
    assert {"0.3", "0.5"} <= {record.budget.label for record in records if record}
    for record in records:
        assert record is not None
        assert record.subnet is not None
        assert f"{record.subnet.top1_val:14.2f}  {record.trial:05d}" in out
        assert record.subnet.top1_test is None
        assert {row["phase"] for row in record.history} == {"dense"}
    assert (folder / "analysis/front.png").stat().st_size > 10_000
    assert "8 networks in" in out


def test_budgets_of_latency_are_previewed_and_those_out_of_reach_are_passed_over(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is out of reach is known only when the table has been measured."""
    monkeypatch.setattr("ofb_ray.latency.turns.run_turns", exact_turns)
    monkeypatch.setattr("ofb_ray.trial.promise.run_turns", exact_turns)
    limits = ["--set", "budgets=[{latency: 0.6}, {latency: 0.001}]", "--set", "latency={seconds: 5}"]
    assert preview(*limits) == 0
    out = capsys.readouterr().out
    (note,) = [line for line in out.splitlines() if line.startswith("note:")]
    assert note.startswith("note: budget latency 0.001 is passed over: latency 0.001 is ")
    assert "below the smallest reachable subnet" in note
    cells = {line.split("  ")[0]: line.split() for line in map(str.strip, out.splitlines()) if line}
    assert cells["budget"][1:5] == ["MMACs", "share", "ms", "params"]
    assert 0.5 < float(cells["latency 0.6"][4]) / float(cells["dense"][3]) <= 0.6
    assert cells["0.5"][3] == "-"
    assert "7 networks in" in out
    assert cli.main(["status", "results/s/preview"]) == 0
    assert preview(*limits) == 0  # nothing is left to do, and the note stands again
    assert note in capsys.readouterr().out


def test_a_preview_without_a_reachable_budget_says_so(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ofb_ray.latency.turns.run_turns", exact_turns)
    limits = ", ".join(f"{{latency: {0.001 * number}}}" for number in range(1, 9))
    assert preview("--set", f"budgets=[{limits}]", "--set", "latency={seconds: 5}") == 2
    assert "no budget is reachable" in capsys.readouterr().err


def test_a_subnet_of_the_preview_is_exported(here: Path) -> None:
    assert preview("--budgets", "0.5") == 0
    assert cli.main(["export", "results/s/preview/00000", "--to", "out"]) == 0
    assert (here / "out/model.safetensors").exists()


def test_a_second_call_does_only_what_is_left(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview("--budgets", "0.6,0.4") == 0
    before = {path: path.stat().st_mtime_ns for path in here.glob("results/s/**/record.json")}
    (here / "results/s/preview/00001/record.json").unlink()
    assert preview("--budgets", "0.6,0.4") == 0
    after = {path: path.stat().st_mtime_ns for path in here.glob("results/s/**/record.json")}
    assert [path.parent.name for path in before if before[path] != after[path]] == ["00001"]


def test_other_budgets_in_the_same_folder_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview("--budgets", "0.5") == 0
    assert preview("--budgets", "0.4") == 2
    assert "budgets" in capsys.readouterr().err


def test_the_sweep_uses_the_preview_s_dense_network_and_calibration(here: Path) -> None:
    assert preview("--budgets", "0.5") == 0
    shared = {path: path.stat().st_mtime_ns for path in here.glob("results/s/shared/*/*.safetensors")}
    assert len(shared) == 2
    from ofb_ray.config.load import load_with_origins
    from ofb_ray.trial.run import run_trial

    spec, _ = load_with_origins("s.yaml", ["search.recipe=calibrated"])
    run_trial(spec.trial(spec.cells[0], {}), lambda _: None, here / "t", shared=here / "results/s/shared")
    assert {path: path.stat().st_mtime_ns for path in here.glob("results/s/shared/*/*.safetensors")} == shared


def test_budgets_out_of_reach_are_passed_over_unless_they_were_asked_for(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preview("--set", "search.space.embedding=false", "--set", "search.space.channel_min=0.9") == 0
    out = capsys.readouterr().out
    assert "note: budget 0.2 is passed over" in out
    assert preview("--set", "search.space.channel_min=0.9", "--budgets", "0.01") == 2
    assert "below the smallest reachable subnet" in capsys.readouterr().err


@pytest.mark.parametrize("shares", ["2", "0", "x", "0.5,-1"])
def test_shares_that_are_none(shares: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        preview("--budgets", shares)
    assert stop.value.code == 2
    assert not (here / "results").exists()


def test_a_store_is_refused_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview("--storage", "s3://bucket/x") == 2
    assert "give --storage FOLDER" in capsys.readouterr().err
