"""Whole sweeps under Ray with a fake trial: failures, kills, signals, and what a second launch does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.errors import InputError
from ofb_ray.results.facts import read_facts
from ofb_ray.results.files import JOURNAL_FILE, LOG_FILE, RECORD_FILE, trial_folder
from ofb_ray.tuning.execute import execute
from ofb_ray.tuning.prepare import prepare
from tests.processes import Forked, ofb_ray
from tests.tuning.fake import EPOCH_SECONDS

ROOT = Path(__file__).parent.parent.parent
SWEEP = {
    "name": "s",
    "model": {"args": {"patch_size": 4, "embed_dim": 64, "depth": 2, "num_heads": 4}},
    "search": {"epochs": 4},
    "budgets": [0.5, 0.75],
    "resources": {"cpus_per_worker": 1, "concurrent": 2},
}


def command(tmp_path: Path, *arguments: str, **changes: Any) -> list[str]:
    (tmp_path / "s.yaml").write_text(json.dumps({**SWEEP, **changes}))
    fake = ["--trial-function", "tests.tuning.fake:run_trial"]
    return [sys.executable, "-m", "ofb_ray", "sweep", "s.yaml", *fake, *arguments]


def start(
    tmp_path: Path, line: list[str], epoch_seconds: float = 0.02, environment: dict[str, str] | None = None
) -> Forked:
    """Start a command of `command` in a process that has torch imported, with fake epochs of so many seconds."""
    return ofb_ray(line[3:], tmp_path, {**known(epoch_seconds), **(environment or {})})


def known(epoch_seconds: float = 0.02, path: str = "") -> dict[str, str]:
    """The environment of a command: how long fake epochs take, and where its modules lie."""
    return {**os.environ, EPOCH_SECONDS: str(epoch_seconds), "PYTHONPATH": f"{path}{ROOT}", "TERM": "dumb"}


def wait_for(condition: Callable[[], bool], process: Forked) -> None:
    end = time.monotonic() + 180  # a machine that does other things, too
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the sweep did not get that far"
        time.sleep(0.02)


def epochs(results: Path, number: int) -> list[tuple[int, int]]:
    """(process, epoch) of each epoch that was trained, in order."""
    path = trial_folder(results, number) / "epochs.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def finished(results: Path) -> int:
    return len(list(results.glob(f"*/{RECORD_FILE}")))


@pytest.mark.slow
def test_failures_are_told_apart_and_only_a_dead_process_is_tried_again(tmp_path: Path) -> None:
    """Seed 0 is well, 13 diverges, 14 always raises, 15 is killed with -9 once after its first epoch."""
    line = command(tmp_path, seeds=[0, 13, 14, 15], budgets=[0.5], failure={"retries": 1}, loggers=["csv"])
    process = start(tmp_path, line)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 1, out + error
    results = tmp_path / "results" / "s"
    facts = read_facts(results)
    assert [fact.state for fact in facts] == ["finished", "failed", "failed", "finished"]
    assert "trial 1 failed: loss is NaN" in out
    assert "trial 2: failed: out of memory (RuntimeError: out of memory): set micro_batch" in out
    assert "RuntimeError: out of memory" in (results / "00002" / LOG_FILE).read_text()
    processes, done = zip(*epochs(results, 3), strict=True)
    assert done == (0, 1, 2, 3)  # it went on from its checkpoint
    assert len(set(processes)) == 2
    assert "trial 3: its process died" in out
    assert (results / "00003" / LOG_FILE).read_text().count("worker process has died") == 1
    assert "\x1b" not in out
    assert error == ""
    assert list(results.rglob("progress.csv"))
    assert not list(results.rglob("experiment_state*"))


def test_a_killed_driver_loses_and_repeats_nothing(tmp_path: Path) -> None:
    line = command(tmp_path, trials=4, parameters={"search.lr": {"min": 1e-4, "max": 1e-2, "log": True}})
    results = tmp_path / "results" / "s"
    second = prepare(tmp_path / "s.yaml", storage=str(tmp_path / "results"))
    first = start(tmp_path, line, epoch_seconds=0.3)
    wait_for(lambda: finished(results) >= 2 and bool(epochs(results, 2)), first)
    with pytest.raises(InputError, match="another process drives the sweep"):  # a second driver is refused
        execute(second)
    orphans = {process for number in range(4) for process, _ in epochs(results, number)}
    first.kill()
    first.communicate()
    kept = {path: path.read_bytes() for path in results.rglob("record.json")}
    issued = {path: path.read_bytes() for path in results.rglob("trial.json")}
    with (results / JOURNAL_FILE).open("ab") as journal:
        journal.write(b'{"op_code":')

    again = start(tmp_path, [*line, "--resume"])
    out, error = again.communicate(timeout=300)
    assert again.returncode == 0, out + error
    assert f"resuming: {len(kept)} of 8 finished" in out
    assert finished(results) == 8
    assert all(path.read_bytes() == data for path, data in {**kept, **issued}.items())
    for number in range(8):
        done = Counter(epoch for _, epoch in epochs(results, number))
        assert set(done) == {0, 1, 2, 3}
        # An epoch that was under way when its process died is the only one that may be trained twice.
        assert sum(done.values()) <= 5
        if trial_folder(results, number) / "record.json" in kept:
            assert sum(done.values()) == 4
    assert not any(_alive(process) for process in orphans)
    _rerun_starts_no_ray(tmp_path, line)


def test_a_cluster_that_does_not_answer_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    command(tmp_path)
    with pytest.raises(InputError, match="no Ray cluster answers"):
        execute(prepare(tmp_path / "s.yaml", storage=str(tmp_path / "new" / "results"), address="127.0.0.1:9"))
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


def _alive(process: int) -> bool:
    path = Path(f"/proc/{process}/stat")
    return path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"


def _rerun_starts_no_ray(tmp_path: Path, line: list[str]) -> None:
    """The sweep of `tmp_path` is done: running it again prints its summary where Ray and Optuna cannot be imported."""
    for name in ("ray", "optuna"):
        (tmp_path / "hidden" / name).mkdir(parents=True)
        (tmp_path / "hidden" / name / "__init__.py").write_text("raise ImportError('hidden')")
    environment = known(path=f"{tmp_path / 'hidden'}:")
    again = subprocess.run(line, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "all 8 trials are done" in again.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_sweep_that_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    line = command(tmp_path, search={"epochs": 200})
    results = tmp_path / "results" / "s"
    process = start(tmp_path, line, epoch_seconds=0.1)
    wait_for(lambda: bool(epochs(results, 0)) and bool(epochs(results, 1)), process)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does it on Ctrl-C: to Ray's processes as well
    else:
        process.send_signal(number)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 1, out + error
    assert "interrupted; to go on: ofb-ray sweep s.yaml" in out
    assert "--resume" in out
    assert finished(results) == 0
    assert [fact.state for fact in read_facts(results)] == ["waiting", "waiting"]


@pytest.mark.slow
def test_a_signal_while_ray_starts_ends_in_one_line(tmp_path: Path) -> None:
    """A scheduler's SIGTERM before any trial runs: Ray alone would print its own stack and abort."""
    pytest.importorskip("aiohttp_cors")  # without the dashboard nothing tells that Ray has started
    process = start(tmp_path, command(tmp_path))
    assert "dashboard" in process.stdout.readline()
    process.terminate()
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1, error
    assert error == "ofb-ray: interrupted; the same command continues it\n"


def test_ray_that_was_started_early_ends_when_the_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps({**SWEEP, "model": {"args": {"num_heads": 0}}}))
    process = start(tmp_path, ["", "", "", "sweep", "s.yaml"])
    out, error = process.communicate(timeout=120)
    assert process.returncode == 2, out + error
    assert out == "reading s.yaml\nloading torch and timm while Ray starts\nplanning 2 networks\n"
    assert "model.args: timm cannot build" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]
    assert not [path for path in Path("/proc").glob("[0-9]*/stat") if _belongs(path, process.pid)]


def _belongs(path: Path, session: int) -> bool:
    """Whether a process lives in the session of another, as Ray's do in that of their driver."""
    try:
        fields = path.read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z" and int(fields[3]) == session and int(path.parent.name) != session
