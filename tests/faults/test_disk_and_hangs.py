"""Disks that fill up or forbid writing, trials that hang, foreign folders: a line each, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from ray import tune

from ofb_ray.cli import main
from ofb_ray.config import SweepSpec
from ofb_ray.results import folder, records
from ofb_ray.results.atomic import write_json
from ofb_ray.results.driver import SweepResults
from ofb_ray.results.facts import read_facts
from ofb_ray.results.files import JOURNAL_FILE, LOG_FILE, PROGRESS_FILE, Death, Progress, TrialFile, trial_folder
from ofb_ray.tuning.execute import Rounds
from ofb_ray.tuning.lifecycle.failures import repeated, write_death
from ofb_ray.tuning.lifecycle.outcome import Outcomes
from ofb_ray.tuning.lifecycle.stop import Stop
from ofb_ray.tuning.optuna.journal import open_study
from ofb_ray.tuning.ray.job import Job
from ofb_ray.tuning.ray.trainable import trainable
from tests.tuning import fake
from tests.tuning.fake import LARGE
from tests.tuning.optuna.studies import issue, open_sweep, sweep
from tests.tuning.test_launch import ROOT, SWEEP, command, finished, start


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={LARGE // 2}", "none", place], capture_output=True
    ).returncode:
        pytest.skip("mounting a file system needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_sweep_and_loses_nothing(tmp_path: Path, disk: Path) -> None:
    line = [*command(tmp_path, seeds=[0, 1, 17], budgets=[0.5]), "--storage", str(disk)]
    first = start(tmp_path, line)
    out, error = first.communicate(timeout=120)
    assert first.returncode == 1, out + error
    assert error == ""
    assert "stopped: the disk is full" in out
    assert "free space or give another --storage" in out
    assert "to go on: ofb-ray sweep" in out
    kept = {path: path.read_bytes() for path in disk.rglob("record.json")}
    assert kept  # the trial that fills the disk begins when the first of the others has ended
    remount(disk, f"size={16 * LARGE}")
    again = start(tmp_path, line)
    out, error = again.communicate(timeout=120)
    assert again.returncode == 0, out + error
    assert finished(disk / "s") == 3
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_disk_that_is_full_or_read_only_at_the_start_is_refused(
    tmp_path: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(tmp_path)
    arguments = ["sweep", str(tmp_path / "s.yaml"), "--storage", str(disk)]
    with pytest.raises(OSError, match="No space"):
        (disk / "ballast").write_bytes(bytes(LARGE))
    assert main(arguments) == 2
    assert "is full" in capsys.readouterr().err
    remount(disk, "ro")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "Read-only file system" in error
    assert error.count("\n") == 1
    remount(disk, "rw")
    assert [path.name for path in disk.iterdir()] == ["ballast"]


@pytest.mark.slow
def test_a_trial_that_hangs_is_ended_with_its_stacks_in_the_log(tmp_path: Path) -> None:
    line = command(tmp_path, seeds=[0, 16], budgets=[0.5], failure={"retries": 1, "silent_minutes": 0.1})
    process = start(tmp_path, line)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 1, out + error
    results = tmp_path / "results" / "s"
    good, hung = read_facts(results)
    assert good.state == "finished"
    assert hung.outcome is not None
    assert hung.outcome.reason == "no report for 0.1 minutes (2 attempts, see trial.log)"
    assert 'fake.py", line' in (results / "00001" / LOG_FILE).read_text()


def test_an_error_that_comes_back_at_the_same_place_is_not_tried_again(tmp_path: Path) -> None:
    write_json(tmp_path / PROGRESS_FILE, {"phase": "search", "epoch": 3})
    assert not repeated(tmp_path, "A")
    assert not repeated(tmp_path, "B")
    assert repeated(tmp_path, "B")
    write_json(tmp_path / PROGRESS_FILE, {"phase": "search", "epoch": 4})
    assert not repeated(tmp_path, "B")


def test_a_study_of_another_sweep_is_refused_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command(tmp_path)
    results, spec = tmp_path / "results" / "s", SweepSpec.model_validate(SWEEP)
    results.mkdir(parents=True)
    open_study(results, spec.model_copy(update={"name": "other"}))
    folder.write_sweep(results, spec)
    before = {path: path.read_bytes() for path in results.iterdir()}
    assert main(["sweep", "s.yaml", "--trial-function", "tests.tuning.fake:run_trial"]) == 2
    error = capsys.readouterr().err
    assert f"{JOURNAL_FILE}: is the study of sweep 'other': give --name" in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before


@dataclass
class FakeRunner:
    """What Ray would say of a trial's deaths; keeps the records that it is told of."""

    recoveries: int = 0
    words: str = ""
    closed: list[records.Record | None] = field(default_factory=list)

    def recovered(self, number: int) -> int:
        return self.recoveries

    def last_words(self, number: int) -> str:
        return self.words

    def ended(self, number: int, record: records.Record | None) -> None:
        self.closed.append(record)


LOW = "1\nray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\n"


@pytest.mark.parametrize(
    ("death", "words", "reason"),
    [
        ("", "", "its process died (killed, or the machine was lost)"),
        ("", "1\nworker process has died\n", "its process died (killed, or the machine was lost)"),
        ("", LOW, "its machine ran out of memory"),
        ("no report for 240 minutes", "1\nworker process has died\n", "no report for 240 minutes"),
        ("RuntimeError: bad", LOW, "RuntimeError: bad"),
    ],
)
def test_why_a_trial_died_is_told_by_itself_or_by_ray_and_not_by_its_log(
    tmp_path: Path, death: str, words: str, reason: str
) -> None:
    spec = sweep(sampler="random", failure={"retries": 0})
    suggestions = open_sweep(tmp_path, spec)
    issue(suggestions)
    own = trial_folder(tmp_path, 0)
    (own / LOG_FILE).write_text("Timeout (0:00:03)!\nThread 0x1\nValueError: low on memory\n")
    if death:
        write_death(own, death)
    runner = FakeRunner(words=words)
    Outcomes(SweepResults(tmp_path), suggestions, Stop(), runner).close(0)
    record = records.read_record(own)
    assert record is not None
    assert record.reason == f"{reason} (1 attempts, see {LOG_FILE})"
    assert runner.closed == [record]


@pytest.mark.parametrize(("age", "reason"), [(61.0, "no report for 1 minutes"), (20.0, "its process died")])
def test_a_process_that_could_leave_no_word_is_told_by_the_age_of_its_last_report(
    tmp_path: Path, age: float, reason: str
) -> None:
    suggestions = open_sweep(tmp_path, sweep(sampler="random", failure={"retries": 0, "silent_minutes": 1}))
    issue(suggestions)
    own = trial_folder(tmp_path, 0)
    Progress(phase="search", epoch=2, time=time.time() - age).write(own)
    Outcomes(SweepResults(tmp_path), suggestions, Stop(), FakeRunner()).close(0)
    record = records.read_record(own)
    assert record is not None
    assert record.reason.startswith(reason)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("bad\nand more"), "RuntimeError: bad"),
        (KeyError(), "KeyError"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "out of memory (OutOfMemoryError: CUDA out of memory. "),
    ],
)
def test_an_attempt_that_raises_leaves_its_cause_and_the_next_one_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tune, "report", lambda _: None)
    spec = sweep(sampler="random", failure={"retries": 1})
    issue(open_sweep(tmp_path, spec))
    own = trial_folder(tmp_path, 0)
    trial = TrialFile.read(own)
    assert trial is not None
    config = Job(
        trial=trial,
        results=tmp_path,
        uri=None,
        function="tests.tuning.fake:run_trial",
        here=str(tmp_path),
        workers=1,
        cpus=1,
        gpus=0,
        silent_minutes=1,
        keep_search=False,
        gate=None,
    ).config()
    assert json.loads(json.dumps(config)) == config  # nothing but what every version of Ray can send
    assert Job.of(config).config() == config

    def raises(*_: object, **__: object) -> None:
        (own / PROGRESS_FILE).write_text('{"phase": "search", "epoch": 3}')
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(fake, "run_trial", raises)
        with pytest.raises(type(error)):
            trainable(config)
    death = Death.read(own)
    assert death is not None
    assert death.reason.startswith(reason)
    assert (death.at.phase, death.at.epoch) == ("search", 3)
    trainable(config)
    assert Death.read(own) is None
    assert records.read_record(own) is not None


@pytest.mark.parametrize(
    ("hang", "reason"),
    [
        ("time.sleep(60)", "no report for 0.01 minutes"),
        ("re.match(r'(a+)+$', 40 * 'a' + 'b')", None),  # C code that keeps the interpreter's lock
    ],
)
def test_a_silent_process_ends_itself_and_says_where_it_stood(tmp_path: Path, hang: str, reason: str | None) -> None:
    code = (
        "import re, sys, time; from pathlib import Path; from ofb_ray.tuning.ray import hang_watch\n"
        "hang_watch.GRACE_SECONDS = 0.5\n"
        "with hang_watch.ends_when_silent(0.01, Path(sys.argv[1])) as alive:\n"
        "    for _ in range(3): time.sleep(0.4); alive()\n"
        f"    {hang}\n"
    )
    begin = time.monotonic()
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1, done.stderr
    assert time.monotonic() - begin > 1.8  # three signs of life put the end off
    assert 'File "<string>", line 5' in (tmp_path / LOG_FILE).read_text()
    death = Death.read(tmp_path)
    assert (death.reason if death else None) == reason


@pytest.mark.parametrize(("recovered", "last", "open_"), [(1, False, True), (2, False, False), (1, True, False)])
def test_what_ray_gives_up_too_early_stays_open_for_another_round(
    tmp_path: Path, recovered: int, last: bool, open_: bool
) -> None:
    suggestions = open_sweep(tmp_path, sweep(sampler="random", failure={"retries": 2}))
    issue(suggestions)
    runner = FakeRunner(recovered)
    outcomes = Outcomes(SweepResults(tmp_path), suggestions, Stop(), runner, last)
    outcomes.close(0)
    assert outcomes.given_up == ({0} if open_ else set())
    assert [record is None for record in runner.closed] == [open_]
    assert (issue(open_sweep(tmp_path, suggestions.spec)) == 0) == open_


def test_rounds_go_on_until_ray_gives_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = sweep(sampler="random", failure={"retries": 2})
    answers: list[set[int] | None] = [{0}, {0}, set()]
    asked: list[bool] = []

    def run(*_: object, last: bool) -> set[int] | None:
        asked.append(last)
        return answers[len(asked) - 1]

    def no_job(trial: TrialFile) -> Job:
        raise AssertionError(f"trial {trial.trial} is run")

    monkeypatch.setattr(Rounds, "run", run)
    first = open_sweep(tmp_path, spec)
    rounds = Rounds(SweepResults(tmp_path), first.index, 1, no_job)
    assert rounds.run_all(first)
    assert asked == [False, False, True]
    answers[1] = None
    asked.clear()
    assert not rounds.run_all(first)
    assert asked == [False, False]
