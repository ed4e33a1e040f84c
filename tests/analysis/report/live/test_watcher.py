"""What has not changed is not read again; running trials are told from interrupted ones; logs are foreign files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from analysis.report.facts import facts_of
from analysis.report.interactive import interactive
from analysis.report.live.dashboard import dashboard_command
from analysis.report.live.logs import BYTES, LINES, Logs
from analysis.report.live.plot import plot_item
from analysis.report.live.running import Follower
from analysis.trials import read as reading
from analysis.trials.read import Known, read
from ofb_ray.results.files import Progress, trial_folder
from ofb_ray.results.records import Record, read_record, write_record
from tests.analysis.factory import record, write, write_open
from tests.analysis.report.live.conftest import worked_on
from tests.analysis.report.test_page import TRIALS


@pytest.fixture
def read_folders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trials whose records are read, by the names of their folders."""
    seen: list[str] = []

    def seeing(folder: Path) -> Record | None:
        seen.append(folder.name)
        return read_record(folder)

    monkeypatch.setattr(reading, "read_record", seeing)
    return seen


def age(folder: Path) -> None:
    """Let all of a results folder be a minute old."""
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (time.time() - 60,) * 2)


def test_a_trial_is_read_again_only_when_its_folder_has_changed(tmp_path: Path, read_folders: list[str]) -> None:
    folder, known = write(tmp_path / "digits", TRIALS), Known()
    age(folder)
    assert len(read([folder], known).trials) == len(read_folders) == 4
    write_record(trial_folder(folder, 4), record(4))
    assert [trial.status for trial in read([folder], known).trials][-1] == "finished"
    assert read_folders[4:] == ["00004"]


def test_a_folder_that_has_just_changed_is_read_again(tmp_path: Path, read_folders: list[str]) -> None:
    folder, known = write(tmp_path / "digits", TRIALS[:1]), Known()
    read([folder], known)
    read([folder], known)
    assert read_folders == ["00000", "00000"]


def test_a_trial_that_nobody_works_on_is_not_running(tmp_path: Path) -> None:
    folder = write(tmp_path / "digits", TRIALS)
    for number in (4, 5):
        write_open(folder, number, running=True)
    write_open(folder, 6, running=False)
    with worked_on(folder, 4):
        follower = Follower()
        stated = follower.stated(read([folder]))
        running, rest = follower.running(stated)
    assert [trial.status for trial in stated.trials[4:]] == ["running", "queued", "queued"]
    assert [each.name for each in running] == ["4"]
    assert rest == [
        "1 trial interrupted: no process works on it, the sweep's command with --resume goes on.",
        "1 trial not begun.",
    ]


def test_the_rest_follows_the_trials_own_pace_once_it_is_known(tmp_path: Path) -> None:
    folder = write(tmp_path / "digits", TRIALS)  # finished ones took 18.5 s without the dense network
    write_open(folder, 4, running=True)
    follower, now = Follower(), time.time()
    with worked_on(folder, 4):
        for seconds, share, top1 in ((0, 0.2, 50.0), (30, 0.5, 80.0)):
            Progress(phase="finetune", epoch=1, epochs=9, progress=share, top1_val=top1, time=now + seconds).write(
                trial_folder(folder, 4)
            )
            (shown,), _ = follower.running(follower.stated(read([folder])))
            if share == 0.2:
                assert shown.state == "fine-tuning, epoch 1 of 9, about 15 s left"
                assert shown.line == ""
    assert shown.state == "fine-tuning, epoch 1 of 9, about 50 s left"
    assert (shown.line, shown.range) == ("M20.00 19.00 L50.00 1.00", "50.00 % to 80.00 %")


def test_the_end_of_a_log_is_short_and_printable(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(5000)]
    (tmp_path / "trial.log").write_text("\n".join([*lines, "10 %\r100 %", "\x1b[2J" + "x" * 5000]) + "\n")
    shown = Logs().end_of(tmp_path).split("\n")
    assert len(shown) <= LINES
    assert sum(map(len, shown)) <= BYTES
    assert shown[-2] == "100 %"
    assert shown[-1].startswith("\\x1b[2Jxxx")


@pytest.mark.parametrize("kind", ["missing", "fifo", "link", "folder"])
def test_what_is_no_log_is_not_read(kind: str, tmp_path: Path) -> None:
    path, secret = tmp_path / "trial.log", tmp_path / "secret"
    secret.write_text("secret")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(secret)
    elif kind == "folder":
        path.mkdir()
    assert Logs().end_of(tmp_path) == ""


def test_fronts_have_one_shape_until_new_kinds_of_marks_come(tmp_path: Path) -> None:
    shapes = []
    for number, trials in enumerate((TRIALS, TRIALS, [*TRIALS, record(4, 0.75)], [*TRIALS, record(4, 0.25, seed=1)])):
        results = read([write(tmp_path / str(number), trials)])
        shapes.append(plot_item(interactive(results, facts_of(results, {})))[1])
    assert shapes[0] == shapes[1] == shapes[2] != shapes[3]


def test_the_dashboard_is_named_where_there_is_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "optuna-dashboard"
    program.write_text("")
    program.chmod(0o755)
    assert dashboard_command([tmp_path]) == ""
    (tmp_path / "study.journal").write_text("")
    assert dashboard_command([tmp_path]) == f"optuna-dashboard {tmp_path}/study.journal"
