"""A results folder: whose it is, who works on it, and what `status` sees."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from ofb_ray.config import SweepSpec
from ofb_ray.errors import InputError
from ofb_ray.results import folder, records
from ofb_ray.results.atomic import write_json
from ofb_ray.results.cells import plain_cell
from ofb_ray.results.driving import DriverFacts
from ofb_ray.results.facts import read_facts
from ofb_ray.results.files import DRIVER_LOCK, PROGRESS_FILE, SWEEP_FILE, TRIAL_LOCK, LeaseFile, TrialFile, trial_folder
from ofb_ray.results.index import TrialIndex
from ofb_ray.tuning.console.status import status_text
from ofb_ray.tuning.console.words import duration
from tests.tuning.fake import make_record


def sweep(**changes: Any) -> SweepSpec:
    return SweepSpec.model_validate({"name": "s", "budgets": [0.5, 0.75], **changes})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"search": {"lr": 0.5}}, "search.lr"),
        ({"budgets": [0.5]}, "budgets"),
        ({"seeds": [1]}, "seeds"),
        ({"model": {"args": {"depth": 2}}}, "model.args"),
        ({"sampler": "tpe"}, "sampler"),
    ],
)
def test_another_sweeps_folder_is_refused_by_the_first_key_that_differs(
    tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    folder.write_sweep(tmp_path, sweep())
    with pytest.raises(InputError, match="--name") as error:
        folder.check_same_sweep(tmp_path, sweep(**changes))
    assert (error.value.key or "").startswith(key)


@pytest.mark.parametrize(
    ("before", "after", "fits"),
    [
        ({"seeds": [0]}, {"seeds": [0, 1]}, True),
        ({"seeds": [0]}, {"seeds": [1, 0]}, True),
        ({}, {"budgets": [0.75, 0.25, 0.5]}, True),
        ({"seeds": [0]}, {"seeds": [0, 1], "budgets": [0.5, 0.75, {"gmacs": 1}]}, True),
        ({"seeds": [0, 1]}, {"seeds": [0, 2]}, False),
        ({}, {"budgets": [0.5, 0.25]}, False),
        ({}, {"seeds": [0, 1], "search": {"lr": 0.5}}, False),
        ({"grid": {"search.lr": [0.1]}}, {"grid": {"search.lr": [0.1, 0.2]}}, False),
    ],
)
def test_budgets_and_seeds_may_grow_where_it_is_asked_for(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], fits: bool
) -> None:
    folder.write_sweep(tmp_path, sweep(**before))
    with pytest.raises(InputError, match="--extend" if fits else "--"):
        folder.check_same_sweep(tmp_path, sweep(**after))
    if fits:
        folder.check_same_sweep(tmp_path, sweep(**after), extend=True)
    else:
        with pytest.raises(InputError, match="--name"):
            folder.check_same_sweep(tmp_path, sweep(**after), extend=True)


def test_another_parameter_is_offered_a_warm_start_under_a_new_name(tmp_path: Path) -> None:
    folder.write_sweep(tmp_path, sweep())
    with pytest.raises(InputError) as caught:
        folder.check_same_sweep(tmp_path, sweep(parameters={"search.doubt": {"min": 0.1, "max": 1.0}}))
    assert f"give another --name, with `warm_start: [{tmp_path}]`" in str(caught.value)
    assert "remove" not in str(caught.value)


def test_what_decides_no_number_may_change(tmp_path: Path) -> None:
    """Each key alone, and no other: a sweep that differs in a neutral key is the same, so it is not refused."""
    changes: dict[str, Any] = {
        "question": "?",
        "trials": 9,
        "warm_start": ["elsewhere"],
        "resources": {"concurrent": 7},
        "failure": {"retries": 0},
        "storage": "x",
        "loggers": ["csv"],
        "promote": {"best": 1, "epochs": 99},
    }
    assert set(changes) == set(folder.NEUTRAL)
    folder.write_sweep(tmp_path, sweep())
    before = (tmp_path / SWEEP_FILE).read_bytes()
    for key, value in changes.items():
        assert sweep(**{key: value}) != sweep()
        folder.check_same_sweep(tmp_path, sweep(**{key: value}))
    with pytest.raises(InputError, match="--name"):
        folder.check_same_sweep(tmp_path, sweep(**changes, search={"lr": 0.5}))
    assert (tmp_path / SWEEP_FILE).read_bytes() == before


def test_a_folder_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / DRIVER_LOCK).touch()
    folder.check_same_sweep(tmp_path, sweep())  # but not what a driver leaves that was killed while Ray started
    for early in ("preview", "shared"):
        (tmp_path / early).mkdir()
    folder.check_same_sweep(tmp_path, sweep())  # nor what `ofb-ray preview` leaves
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="no results folder"):
        folder.check_same_sweep(tmp_path, sweep())


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    first = folder.driver_lock(tmp_path)
    with pytest.raises(InputError, match="another process"):
        folder.driver_lock(tmp_path)
    first.release()
    folder.driver_lock(tmp_path).release()


def test_status_tells_the_state_of_every_trial(tmp_path: Path) -> None:
    spec = sweep(seeds=[0, 1, 2])
    for number in range(5):
        here = trial_folder(tmp_path, number)
        cell = plain_cell(spec.cells[number])
        TrialFile(trial=number, key="k", label="0.5", cell=cell, params={"search.lr": 0.1}, spec={}).write(here)
    for number, changes in ((0, {}), (1, {"status": "failed", "reason": "loss is NaN", "subnet": None})):
        record = make_record(spec.trial(spec.cells[0], {}), number, seconds={"search": 30.0}, **changes)  # type: ignore[arg-type]
        records.write_record(trial_folder(tmp_path, number), record)
    write_json(trial_folder(tmp_path, 2) / PROGRESS_FILE, {"phase": "died", "message": "twice"})
    running = trial_folder(tmp_path, 3)
    write_json(running / PROGRESS_FILE, {"phase": "search", "progress": 0.5, "time": time.time()})
    with FileLock(running / TRIAL_LOCK):
        facts = read_facts(tmp_path)
    assert [fact.state for fact in facts] == ["finished", "failed", "died", "running", "waiting"]
    text = status_text(TrialIndex(tmp_path, spec, facts), DriverFacts("unknown"), "results/s", 100)
    for words in (
        "1 finished",
        "1 failed",
        "1 died",
        "1 running",
        "2 waiting",
        "loss is NaN",
        "twice",
        "search",
        "50 %",
    ):
        assert words in text
    assert "about 105 s left" not in text
    assert "about 2 min left" in text  # (4 - 0.5) trials of 30 s


def test_a_trial_whose_lease_was_given_back_is_no_longer_worked_on(tmp_path: Path) -> None:
    write_json(tmp_path / "00000" / PROGRESS_FILE, {"phase": "died", "message": "killed"})
    for lease, state in ((LeaseFile(id="a", time=time.time()), "running"), (LeaseFile(time=time.time()), "died")):
        lease.write(tmp_path / "00000")
        assert [fact.state for fact in read_facts(tmp_path)] == [state]


def test_durations_read_well() -> None:
    assert [duration(seconds) for seconds in (0.4, 34, 300, 7800)] == ["0 s", "34 s", "5 min", "2 h 10 min"]


def test_a_file_in_the_place_of_a_results_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    with pytest.raises(InputError, match="is a file"):
        folder.check_same_sweep(tmp_path / "s", sweep())


@pytest.mark.parametrize(("name", "data"), [("record.json", b'{"trial": '), ("trial.json", b"")])
def test_a_broken_file_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    folder.write_sweep(tmp_path, sweep())
    trial_folder(tmp_path, 3).mkdir()
    (trial_folder(tmp_path, 3) / name).write_bytes(data)
    with pytest.raises(InputError, match="00003: holds a file that is broken") as error:
        read_facts(tmp_path)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_whether_a_trial_runs_is_seen_without_the_right_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a folder of another user, whose files `FileLock` cannot open."""
    lock = trial_folder(tmp_path, 0) / TRIAL_LOCK
    lock.parent.mkdir()
    known = os.open

    def refuse(path: Any, flags: int, *others: Any, **more: Any) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise PermissionError(path)
        return known(path, flags, *others, **more)

    with FileLock(lock):
        monkeypatch.setattr(os, "open", refuse)
        assert [fact.state for fact in read_facts(tmp_path)] == ["running"]
    assert [fact.state for fact in read_facts(tmp_path)] == ["waiting"]
