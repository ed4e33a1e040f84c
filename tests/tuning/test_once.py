"""One way through a sweep: nothing is parsed, planned or read twice by the driver, on a fresh start or a resume."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.config import yaml12
from ofb_ray.results.files import RECORD_FILE, SHARED_FOLDER, TRIAL_FILE, trial_folder, trial_folders
from ofb_ray.trial import plan as planning
from ofb_ray.tuning import execute as executing
from ofb_ray.tuning.prepare import Launch, prepare
from ofb_ray.tuning.ray.job import Job
from tests.tuning import fake
from tests.tuning.test_launch import ROOT, SWEEP

TRIALS = 30
TREE = {
    **SWEEP,
    "search": {"epochs": 1},
    "seeds": [0, 1, 2],
    "trials": 5,
    "parameters": {"search.lr": {"min": 1e-4, "max": 1e-2, "log": True}},
    "sampler": "random",
    "loggers": ["csv"],
}
FUNCTION = "tests.tuning.fake:run_trial"
# Files that this process opens to read while it is not None; a hook stays for the life of a process.
_opened: list[Counter[str] | None] = [None]


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    counter = _opened[0]
    if counter is not None and event == "open" and isinstance(arguments[0], str | Path):
        path, mode = Path(arguments[0]), str(arguments[1])
        if not set(mode) & set("wax+"):
            counter[f"{path.parent.name}/{path.name}"] += 1


sys.addaudithook(_hook)


@pytest.fixture
def opened() -> Iterator[Counter[str]]:
    """How often each file was opened to be read, by its folder's name and its own."""
    counter: Counter[str] = Counter()
    _opened[0] = counter
    yield counter
    _opened[0] = None


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a sweep file was parsed and a cell planned."""
    counter: Counter[str] = Counter()
    load, plan = yaml12.load, planning.plan

    def counting_load(text: str, file: str) -> Any:
        counter[f"parsed {Path(file).name}"] += 1
        return load(text, file)

    def counting_plan(spec: Any, **options: Any) -> Any:
        counter[f"planned {spec.budget.label} {spec.seed}"] += 1
        return plan(spec, **options)

    monkeypatch.setattr(yaml12, "load", counting_load)
    monkeypatch.setattr(planning, "plan", counting_plan)
    return counter


def in_this_process(spec: Any, searcher: Any, events: Any, stop: Any, count: int, slots: int) -> None:
    """Do what Ray does, one trial after the other."""
    for turn in range(count):
        config = searcher.suggest(str(turn))
        assert isinstance(config, dict)
        job = Job.of(config)
        shared, explored = job.results_here / SHARED_FOLDER, job.trial.params
        _opened[0], kept = None, _opened[0]  # a worker's reads are its own
        fake.run_trial(
            job.trial.resolved(), lambda _: None, job.folder, shared=shared, trial=job.number, explored=explored
        )
        _opened[0] = kept
        searcher.on_trial_complete(str(turn))


def start(tmp_path: Path, **flags: Any) -> Launch:
    (tmp_path / "s.yaml").write_text(json.dumps(TREE))
    return prepare(tmp_path / "s.yaml", storage=str(tmp_path), function=FUNCTION, **flags)


def run(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> executing.Executed:
    monkeypatch.setattr(executing, "session", lambda *_: contextlib.nullcontext(2))
    monkeypatch.setattr(executing, "run_tune", in_this_process)
    monkeypatch.setenv(fake.EPOCH_SECONDS, "0")
    return executing.execute(launch)


def check(tmp_path: Path, counted: Counter[str], opened: Counter[str], reads: int) -> None:
    cells = {f"planned {budget} {seed}": 1 for budget in (0.5, 0.75) for seed in (0, 1, 2)}
    assert {key: count for key, count in counted.items() if key.startswith("planned")} == cells
    assert counted["parsed s.yaml"] == 1
    assert opened[f"{tmp_path.name}/s.yaml"] == 1
    trials = {name: count for name, count in opened.items() if name.endswith(f"/{TRIAL_FILE}")}
    assert trials == ({f"{number:05d}/{TRIAL_FILE}": reads for number in range(TRIALS)} if reads else {})
    assert len(list((tmp_path / "s").glob(f"*/{RECORD_FILE}"))) == TRIALS


def test_a_fresh_sweep_parses_and_plans_once_and_reads_no_trial_that_it_wrote_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: Counter[str], opened: Counter[str]
) -> None:
    executed = run(start(tmp_path), monkeypatch)
    assert not executed.interrupted
    assert [fact.state for fact in executed.facts] == ["finished"] * TRIALS
    check(tmp_path, counted, opened, reads=0)


def test_a_resumed_sweep_reads_each_trial_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: Counter[str], opened: Counter[str]
) -> None:
    run(start(tmp_path), monkeypatch)
    for number in range(5, TRIALS, 3):
        (trial_folder(tmp_path / "s", number) / RECORD_FILE).unlink()
    counted.clear()
    opened.clear()
    launch = start(tmp_path, resume=True)
    assert not launch.complete
    assert not run(launch, monkeypatch).interrupted
    check(tmp_path, counted, opened, reads=1)
    assert counted["parsed sweep.yaml"] == 1


def test_what_another_driver_did_before_the_lock_was_taken_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finishes all trials between prepare and execute; of a copy that was prepared before, one is removed again."""
    launch = start(tmp_path)
    run(start(tmp_path), monkeypatch)
    assert launch.index.done == 0
    assert executing.current_index(launch).done == TRIALS
    late = start(tmp_path)
    assert executing.current_index(late) is late.index
    shutil.rmtree(trial_folders(tmp_path / "s")[-1])
    assert executing.current_index(late).done == TRIALS - 1
    assert run(late, monkeypatch).facts[-1].state == "finished"


@pytest.mark.slow
def test_the_same_under_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: Counter[str], opened: Counter[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert not executing.execute(start(tmp_path)).interrupted
    check(tmp_path, counted, opened, reads=0)
