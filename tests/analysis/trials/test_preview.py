"""A preview in a results folder is found, and only what belongs to the sweep's dense network counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.trials.preview import previews
from analysis.trials.read import read
from ofb_ray.results.records import Record
from tests.analysis.factory import failed, record, write

PREVIEW = [record(0, 0.5, 91.0), record(1, 0.25, 60.0)]


def with_spec(trial: Record, **sections: Any) -> Record:
    return trial.model_copy(update={"spec": {**trial.spec, **sections}})


def found(folder: Path) -> list[list[int]]:
    return [[trial.number for trial in trials] for trials in previews(read([folder]))]


def test_without_a_preview_there_is_none(tmp_path: Path) -> None:
    assert found(write(tmp_path, [record(0)])) == []


@pytest.mark.parametrize("trained", [[], [record(0)]])
def test_finished_trials_of_the_preview_are_found_before_and_after_the_sweep(
    tmp_path: Path, trained: list[Record]
) -> None:
    write(tmp_path / "preview", [*PREVIEW, failed(2)])
    assert found(write(tmp_path, trained)) == [[0, 1]]


def test_each_of_several_folders_has_its_own(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, [record(0)], name) for name in "abc"]
    for folder in folders[1:]:
        write(folder / "preview", PREVIEW)
    assert [trials[0].folder.parent.parent for trials in previews(read(folders))] == folders[1:]


@pytest.mark.parametrize("section", [{"dense": {"epochs": 3}}, {"model": {"name": "x"}}, {"data": {"name": "x"}}])
def test_a_preview_of_another_dense_network_is_left_out(tmp_path: Path, section: dict[str, Any]) -> None:
    write(tmp_path / "preview", [with_spec(trial, **section) for trial in PREVIEW])
    assert found(write(tmp_path, [record(0)])) == []


def test_a_preview_beside_trials_on_different_data_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "preview", PREVIEW)
    assert found(write(tmp_path, [record(0), with_spec(record(1), data={"name": "x"})])) == []


def test_another_folder_of_that_name_is_no_preview(tmp_path: Path) -> None:
    (tmp_path / "preview").mkdir()
    (tmp_path / "preview/notes.txt").touch()
    assert found(write(tmp_path, [record(0)])) == []
