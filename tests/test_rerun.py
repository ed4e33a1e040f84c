"""A recorded trial can be run again from its record alone, and what differs is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.cli import main
from ofb_ray.rerun import differences
from ofb_ray.results.files import RECORD_FILE, WEIGHTS_FILE
from ofb_ray.results.records import Record, read_record
from ofb_ray.trial.run import run_trial
from ofb_ray.tuning.console.report import check_trial_folder
from tests.small import small_spec


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished trial."""
    folder = tmp_path_factory.mktemp("again") / "00000"
    check_trial_folder(folder, small_spec())
    run_trial(small_spec(), lambda _: None, folder, shared=folder.parent / "shared", sweep="small")
    return folder


def altered(trial: Path, to: Path, **changes: Any) -> Path:
    """A copy of the trial whose record says something else."""
    shutil.copytree(trial, to)
    tree = json.loads((to / RECORD_FILE).read_text())
    (to / RECORD_FILE).write_text(json.dumps({**tree, **changes}))
    return to


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_is_no_folder_for_a_trial(trial: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    assert main(["trial", "--from", str(trial), "--out", str(tmp_path / "file" / below)]) == 2
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["", RECORD_FILE])
def test_the_numbers_come_again(trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    if name:
        shutil.copytree(trial, tmp_path / "again")  # finished: only compared
    assert main(["trial", "--from", str(trial / name), "--out", str(tmp_path / "again")]) == 0
    told = capsys.readouterr().out
    assert "equal to the record: 9 epochs" in told
    assert ("nothing was run" in told) == bool(name)
    assert (tmp_path / "again" / WEIGHTS_FILE).read_bytes() == (trial / WEIGHTS_FILE).read_bytes()


def test_a_record_from_before_recipes_is_run_as_released(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = small_spec(dense={"epochs": 1}, search={"epochs": 2, "recipe": "paper"}, finetune={"epochs": 1})
    run_trial(spec, lambda report: None, tmp_path / "new", shared=tmp_path / "shared")
    path = tmp_path / "new" / RECORD_FILE
    tree = json.loads(path.read_text())
    for key in ("recipe", "basis", "start", "compensate", "calibration_images", "doubt"):
        del tree["spec"]["search"][key]
    path.write_text(json.dumps(tree))
    assert main(["trial", "--from", str(tmp_path / "new"), "--out", str(tmp_path / "again")]) == 0, capsys.readouterr()


def test_other_numbers_are_told_where_they_part_and_what_else_is_different(
    trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = read_record(trial)
    assert record is not None
    history = [dict(row) for row in record.history]
    history[4]["loss"] += 1.0
    changes = {"history": history, "environment": {**record.environment, "torch": "1.0"}}
    original = altered(trial, tmp_path / "original", **changes)
    with (original / WEIGHTS_FILE).open("ab") as file:
        file.write(b"x")
    shutil.copytree(trial, tmp_path / "again")
    assert main(["trial", "--from", str(original), "--out", str(tmp_path / "again")]) == 1
    text = capsys.readouterr().out
    assert "history: apart from row 5 on (search epoch 2)" in text
    assert "model.safetensors: other bits" in text
    assert "torch was 1.0, is " in text


def test_records_that_differ_in_times_and_places_only_are_equal(trial: Path) -> None:
    record = read_record(trial)
    assert record is not None
    assert not differences(record, record.model_copy(update={"seconds": {}, "trial": 7, "environment": {}}))
    assert differences(record, record.model_copy(update={"events": record.events[1:]}))
    assert differences(record, record.model_copy(update={"subnet": None}))


def test_it_runs_with_the_threads_of_the_record(
    trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = read_record(trial)
    assert record is not None
    original = altered(trial, tmp_path / "original", environment={**record.environment, "threads": 7})
    shutil.copytree(trial, tmp_path / "again")
    asked: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", asked.append)
    assert main(["trial", "--from", str(original), "--out", str(tmp_path / "again")]) == 0
    assert asked == [7]
    assert "equal to the record" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("subnet", lambda tree: tree["subnet"].update(top1_test=tree["subnet"]["top1_test"] + 1e-9)),
        ("dense", lambda tree: tree["dense"].update(top1_val=0.0)),
        ("arch.widths.embed.width", lambda tree: tree["arch"]["widths"]["embed"].update(width=1)),
        ("budget.used", lambda tree: tree["budget"].update(used=0.5)),
        ("history: apart from row 9", lambda tree: tree["history"][8].update(loss=0.0)),
        ("history: 9 rows, now 8", lambda tree: tree["history"].pop()),
        ("events: apart from row 1", lambda tree: tree["events"][0].update(output_gap=9.0)),
        ("status", lambda tree: tree.update(status="stopped")),
    ],
)
def test_any_number_that_differs_is_told(trial: Path, where: str, change: Callable[[dict[str, Any]], object]) -> None:
    record = read_record(trial)
    assert record is not None
    tree = record.model_dump(mode="json")
    change(tree)
    (line, *_) = differences(record, Record.model_validate(tree))
    assert line.startswith(where)


def test_what_cannot_be_run_again_is_refused_in_one_line(
    trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = read_record(trial)
    assert record is not None
    foreign = altered(trial, tmp_path / "foreign", spec={**record.spec, "serch": {}})
    other = altered(trial, tmp_path / "other", spec={**record.spec, "seed": 9})
    for arguments, words in (
        ([], "either SWEEP.yaml"),
        (["sweeps/digits.yaml", "--from", str(trial)], "either SWEEP.yaml"),
        (["--from", str(trial), "--set", "seed=1"], "either SWEEP.yaml"),
        (["--from", str(tmp_path)], "has no record.json"),
        (["--from", str(foreign)], "serch: the record's spec is not one of this version"),
        (["--from", str(other), "--out", str(trial)], "holds"),
        (["--from", str(trial), "--out", str(trial)], "is the record's own folder"),
    ):
        assert main(["trial", *arguments]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
