"""A results folder becomes one table, whatever state it is in."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.trials.read import read, records
from analysis.trials.table import COLUMNS, frame, table
from ofb_ray.errors import InputError
from ofb_ray.results.records import BudgetOutcome, Network
from tests.analysis.factory import failed, record, write, write_open


def test_one_row_a_trial_in_the_columns_of_the_contract(tmp_path: Path) -> None:
    folder = write(tmp_path, [record(0, 0.5, 97.5, macs=498_000), failed(1, 0.25, seed=2)])
    rows = frame(folder)
    assert list(rows.columns[:10]) == COLUMNS
    assert rows.columns[10] == "search.one_hot_weight"
    read_back = pd.read_csv(io.StringIO(rows.to_csv(index=False)), dtype=str, keep_default_na=False)
    first, second = (read_back.iloc[row, :11].tolist() for row in (0, 1))
    assert first == ["0", "finished", "0.5", "500000", "498000", "102500", "97.5", "97.2", "0", "True", "0.5"]
    assert second == ["1", "failed", "0.25", "250000", "", "", "", "", "2", "False", "0.51"]


def test_a_budget_of_parameters_has_no_target_in_macs(tmp_path: Path) -> None:
    budget = BudgetOutcome(label="0.1M params", resource="params", target=100_000, used=0.99, minimum=20_000)
    subnet = Network(macs=400_000, params=99_000, top1_val=97.0)
    rows = frame(write(tmp_path, [record(0, budget=budget, subnet=subnet)]))
    assert rows["target_macs"].isna().all()
    assert rows["on_front"].tolist() == [True]


def test_the_front_holds_only_finished_trials_that_met_their_budget(tmp_path: Path) -> None:
    best = Network(macs=100, params=1, top1_val=99.9)
    trials = [
        record(0, 0.5, 97.0),
        record(1, 0.5, 99.0, macs=500_001),
        record(2, 0.5, status="stopped", subnet=best),
        record(3, 0.5, top1=None),
        record(4, 0.25, 96.0),
    ]
    assert frame(write(tmp_path, trials))["on_front"].tolist() == [True, False, False, False, True]


def test_open_trials_are_running_queued_or_died_and_keep_their_explored_values(tmp_path: Path) -> None:
    folder = write(tmp_path, [record(0)])
    write_open(folder, 1, running=True)
    write_open(folder, 2, running=False)
    write_open(folder, 3, running=True)
    (folder / "00003" / "progress.json").write_text(json.dumps({"phase": "died", "message": "killed"}))
    rows = frame(folder)
    assert rows["status"].tolist() == ["finished", "running", "queued", "died"]
    assert rows["budget"].tolist() == ["0.5"] * 4
    assert rows["seed"].tolist() == [0, 3, 3, 3]
    assert rows["search.one_hot_weight"].tolist() == [0.5, 0.7, 0.7, 0.7]
    assert rows["search.mask"].tolist()[1:] == ["both"] * 3
    assert rows["reason"].tolist()[3] == "killed"


def test_the_grid_of_a_finished_trial_is_an_explored_column(tmp_path: Path) -> None:
    folder = write(tmp_path, [record(0)])
    write_open(folder, 0, running=True)
    row = frame(folder).iloc[0]
    assert (row["status"], row["search.mask"], row["search.one_hot_weight"]) == ("finished", "both", 0.5)


@pytest.mark.parametrize("content", [b"", b'{"format": 1, "tri', b"[]", b"\xff\xfe", b'{"format": 1}'])
def test_a_torn_or_foreign_record_is_named_and_left_out(tmp_path: Path, content: bytes) -> None:
    folder = write(tmp_path, [record(0), record(1)])
    (folder / "00001" / "record.json").write_bytes(content)
    results = read([folder])
    assert [trial.status for trial in results.trials] == ["finished", "unreadable"]
    assert "00001/record.json" in results.problems[0]
    assert "\n" not in results.problems[0]
    assert len(records(folder)) == 1


@pytest.mark.parametrize("name", ["trial.json", "progress.json", "sweep.yaml"])
def test_other_torn_files_are_no_obstacle(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, [record(0)])
    write_open(folder, 1, running=True)
    place = folder if name == "sweep.yaml" else folder / "00001"
    (place / name).write_bytes(b'{"a": [')
    assert len(frame(folder)) == 2


def test_several_sweeps_get_their_name_in_front_of_the_number(tmp_path: Path) -> None:
    one = write(tmp_path / "a", [record(0, 0.5, 97.0)], name="small")
    two = write(tmp_path / "b", [record(0, 0.5, 98.0, macs=490_000)], name="large")
    rows = table(read([one, two, one]))
    assert rows["trial"].tolist() == ["small/0", "large/0"]
    assert rows["on_front"].tolist() == [False, True]


def test_sweeps_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, [record(0)]) for name in ("a", "b")]
    assert table(read(folders))["trial"].tolist() == [f"{folder}/0" for folder in folders]


def test_different_data_is_pointed_out(tmp_path: Path) -> None:
    one = write(tmp_path / "a", [record(0)], name="a")
    two = write(tmp_path / "b", [record(0, spec={"data": {"name": "folder"}})], name="b")
    (two / "00001").mkdir()
    (two / "00001" / "record.json").write_text("{")
    assert "do not compare" in read([one, two]).problems[0]
    assert len(read([one, two]).problems) == 2
    assert not read([one]).mixed
    elsewhere = write(tmp_path / "c", [record(0, spec={"data": {"name": "digits", "root": "/c"}})], name="c")
    assert read([one, elsewhere]).problems == ()
    roots = [{"data": {"name": "folder", "root": f"/data/{name}"}} for name in ("cifar10", "flowers")]
    other = [write(tmp_path / f"d{n}", [record(0, spec=spec)], name=f"d{n}") for n, spec in enumerate(roots)]
    assert read(other).mixed
    both = [
        record(0),
        record(1, spec={"data": {"name": "cifar10"}}),
        record(2, spec={"data": {"name": "digits", "x": 1}}),
    ]
    assert read([write(tmp_path / "e", both)]).problems[0].startswith("The trials use different data")
    assert not read([write(tmp_path / "f", [both[0], both[2].model_copy(update={"trial": 1})])]).mixed  # explored


def test_what_is_no_results_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path / "digits", [record(3)])
    for folder, remedy in (
        (tmp_path / "missing", "no such folder"),
        (tmp_path, "digits"),
        (tmp_path / "digits" / "00003", f"{tmp_path / 'digits'}"),
        (Path(__file__).parent, "no results folder"),
    ):
        with pytest.raises(InputError, match="folder") as caught:
            read([folder])
        assert remedy in str(caught.value)
        assert str(folder) in str(caught.value)


def test_the_analysis_of_an_empty_folder_leaves_it_one_and_results_print_short(tmp_path: Path) -> None:
    (tmp_path / "analysis").mkdir()
    assert read([tmp_path]).trials == ()
    write(tmp_path / "digits", [record(number) for number in range(3)])
    assert len(repr(read([tmp_path / "digits"]))) < 500
