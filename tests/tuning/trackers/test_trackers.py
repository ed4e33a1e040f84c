"""Trackers: one run a trial over all launches, every epoch once, and no trouble of a tracker reaches the sweep."""

from __future__ import annotations

import importlib.util
import threading
import time
from pathlib import Path

import pytest

from ofb_ray.config import Json, SweepSpec, yaml12
from ofb_ray.config import load as specfile
from ofb_ray.errors import InputError
from ofb_ray.results import records
from ofb_ray.results.files import Progress, trial_folder
from ofb_ray.results.index import TrialIndex
from ofb_ray.tuning import trackers as tracking
from ofb_ray.tuning.trackers import Trackers, check_installed, worker
from ofb_ray.tuning.trackers.base import track
from tests.tuning.trackers.tracked import (
    ALL,
    KINDS,
    Read,
    entry,
    issue,
    mlflow_runs,
    of_csv,
    of_json,
    report,
    sweep,
    until,
)


@pytest.mark.parametrize(("name", "read", "steps"), KINDS, ids=[kind[0] for kind in KINDS])
def test_a_resumed_trial_goes_on_with_its_run_and_repeats_no_epoch(
    tmp_path: Path, name: str, read: Read, steps: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    spec = sweep([entry(name, tmp_path)])
    record, notes = issue(tmp_path, spec), list[str]()
    with Trackers(TrialIndex.read(tmp_path, spec), notes.append) as first:
        first.started(0)
        first.progress(0, Progress(phase="dense", epoch=0, epochs=2, progress=0.0, message="another trains it"))
        report(first, [1, 2])
    # Interrupted and resumed; epoch 3 had no driver.
    with Trackers(TrialIndex.read(tmp_path, spec), notes.append) as second:
        second.started(0)
        report(second, [2, 4, 4])
        second.progress(0, Progress(phase="done", epoch=0, epochs=0, progress=1.0, top1_val=56.0))
        second.ended(0, record, "")
    records.write_record(trial_folder(tmp_path, 0), record)
    before = read(tmp_path)
    assert [step for step, _ in before] == steps
    assert [loss for _, loss in before] == pytest.approx([1 / step for step in steps])
    with Trackers(TrialIndex.read(tmp_path, spec), notes.append):
        pass  # all of it has arrived
    assert read(tmp_path) == before
    assert notes == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "read", "_"), KINDS, ids=[kind[0] for kind in KINDS])
def test_what_finished_without_a_driver_or_before_a_tracker_was_named_is_made_up_for(
    tmp_path: Path, name: str, read: Read, _: list[int]
) -> None:
    spec, notes = sweep([entry(name, tmp_path)]), list[str]()
    records.write_record(trial_folder(tmp_path, 0), issue(tmp_path, spec))
    with Trackers(TrialIndex.read(tmp_path, spec), notes.append):
        pass
    assert notes == []
    assert [step for step, _ in read(tmp_path)] == ALL


@pytest.mark.parametrize("cut", [1, 3, 20])
@pytest.mark.parametrize(("name", "read", "_"), KINDS[:3], ids=[kind[0] for kind in KINDS[:3]])
def test_a_file_that_a_kill_has_torn_is_gone_on_with(
    tmp_path: Path, name: str, read: Read, _: list[int], cut: int
) -> None:
    spec = sweep([entry(name, tmp_path)])
    issue(tmp_path, spec)
    with Trackers(TrialIndex.read(tmp_path, spec), print) as first:
        report(first, [1, 2, 3])
    (path,) = [path for path in (tmp_path / "loggers").rglob("*0*/*") if path.is_file()]
    path.write_bytes(path.read_bytes()[:-cut])
    with Trackers(TrialIndex.read(tmp_path, spec), print) as second:
        report(second, [2, 3, 4, 4])
    assert [step for step, _ in read(tmp_path)] == [1, 2, 3, 4]


def test_tensorboards_hparams_tab_has_a_session_a_trial_with_conditional_parameters(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    spec = sweep(["tensorboard"])
    explored: list[Json] = [{"search.lr": 0.01}, {"search.lr": 0.02, "search.mask": "importance"}]
    records = [issue(tmp_path, spec, number, params) for number, params in enumerate(explored)]
    with Trackers(TrialIndex.read(tmp_path, spec), print) as trackers:
        for number, record in enumerate(records):
            trackers.ended(number, record, "")
    logs = str(tmp_path / "loggers" / "tensorboard")
    multiplexer = EventMultiplexer().AddRunsFromDirectory(logs)
    multiplexer.Reload()
    context = RequestContext()
    provider = MultiplexerDataProvider(multiplexer, logs)
    backend = backend_context.Context(TBContext(data_provider=provider))
    tags = backend.hparams_metadata(context, "")
    experiment = backend.experiment_from_metadata(context, "", True, tags, [])
    assert {info.name for info in experiment.hparam_infos} == {"budget", "seed", "search.lr", "search.mask"}
    assert "final/top1_val" in {info.name.tag for info in experiment.metric_infos}
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=[api_pb2.STATUS_SUCCESS], start_index=0, slice_size=10, include_metrics=True
    )
    handler = list_session_groups.Handler(context, backend, "", request)
    groups = handler.run().session_groups
    assert sorted(group.name for group in groups) == ["00000", "00001"]
    assert {group.hparams["search.lr"].number_value for group in groups} == {0.01, 0.02}


def test_a_tracker_that_fails_is_noted_once_and_delivers_everything_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.05)
    spec, notes = sweep(["csv", "json"]), list[str]()
    record = issue(tmp_path, spec)
    (tmp_path / "loggers" / "00000").mkdir(parents=True)
    blocked = tmp_path / "loggers" / "00000" / "progress.csv"
    blocked.mkdir()  # as unwritable as a full disk
    with Trackers(TrialIndex.read(tmp_path, spec), notes.append) as trackers:
        report(trackers, [1, 2])
        until(lambda: bool(notes))
        time.sleep(0.1)
        blocked.rmdir()
        report(trackers, [3])
        trackers.ended(0, record, "")
    assert len(notes) == 1
    assert notes[0].startswith("tracker csv: ")
    assert "the sweep goes on" in notes[0]
    assert [step for step, _ in of_csv(tmp_path)] == [step for step, _ in of_json(tmp_path)] == ALL


def test_an_entry_that_is_always_refused_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.001)
    spec, notes = sweep(["json"]), list[str]()
    issue(tmp_path, spec)
    with Trackers(TrialIndex.read(tmp_path, spec), notes.append) as trackers:
        trackers.started(7)  # a trial that has no trial.json
        report(trackers, [1])
    assert [step for step, _ in of_json(tmp_path)] == [1]
    assert len(notes) == 2
    assert notes[1].startswith("tracker json: not everything has arrived")


def test_a_tracker_that_hangs_delays_the_sweep_by_the_stated_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = threading.Event()
    monkeypatch.setattr(tracking, "_maker", lambda *_: lambda: hang.wait(60))
    spec, notes = sweep(["csv"]), list[str]()
    issue(tmp_path, spec)
    start = time.monotonic()
    trackers = Trackers(TrialIndex.read(tmp_path, spec), notes.append)
    report(trackers, ALL * 100)
    assert time.monotonic() - start < 1
    trackers.close(0.2)
    assert time.monotonic() - start < 3
    hang.set()
    assert notes == ["tracker csv: not everything has arrived; the next launch of this sweep makes up for it"]


def test_an_mlflow_server_that_does_not_answer_costs_a_note(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    spec, notes = sweep([{"mlflow": {"tracking_uri": "http://127.0.0.1:9"}}]), list[str]()
    record = issue(tmp_path, spec)
    trackers = Trackers(TrialIndex.read(tmp_path, spec), notes.append)
    trackers.started(0)
    until(lambda: bool(notes), 60)
    trackers.ended(0, record, "")
    start = time.monotonic()
    trackers.close()
    assert time.monotonic() - start < tracking.CLOSE_SECONDS + 2
    assert [note.startswith("tracker mlflow: ") for note in notes] == [True, True]
    assert "127.0.0.1" in notes[0]


def test_an_mlflow_run_tells_how_its_trial_ended(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    spec = sweep([entry("mlflow", tmp_path)])
    for number in range(4):
        record = issue(tmp_path, spec, number)
    with Trackers(TrialIndex.read(tmp_path, spec), print) as trackers:
        trackers.started(0)  # interrupted by the end of the launch
        trackers.ended(1, None, "")
        trackers.ended(2, None, "killed thrice")
        trackers.ended(3, record.model_copy(update={"status": "failed", "reason": "loss is NaN", "subnet": None}), "")
    runs = {
        run.info.run_name: (run.info.status, run.data.tags.get("ofb_ray.reason")) for run in mlflow_runs(tmp_path)[1]
    }
    assert runs == {
        "00000": ("KILLED", None),
        "00001": ("KILLED", None),
        "00002": ("FAILED", "killed thrice"),
        "00003": ("FAILED", "loss is NaN"),
    }


def test_a_trial_is_known_by_scalars(tmp_path: Path) -> None:
    spec = sweep([], budgets=[{"gmacs": 1.5}], grid={"search.mask": ["both"]})
    issue(tmp_path, spec, params={"search.lr": 0.01, "data.augment": {"kind": "none"}})
    trial = track(TrialIndex.read(tmp_path, spec).trial(0))
    assert trial.before == {"dense": 0, "search": 2, "finetune": 5}
    assert trial.hparams == {
        "budget": "1.5 GMACs",
        "search.mask": "both",
        "seed": 0,
        "search.lr": 0.01,
        "data.augment": '{"kind": "none"}',
    }


@pytest.mark.parametrize(
    ("loggers", "named"),
    [
        (None, ["tensorboard"]),
        ("[]", []),
        ("[csv, {mlflow: {experiment: e}}, wandb: {mode: offline}]", ["csv", "mlflow", "wandb"]),
        ("[mlflow: ]", ["mlflow"]),
    ],
)
def test_loggers_are_read_and_survive_the_results_folder(tmp_path: Path, loggers: str | None, named: list[str]) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("name: s\nbudgets: [0.5]\n" + (f"loggers: {loggers}\n" if loggers else ""))
    spec = specfile.load_sweep(file)
    assert [name for tracker in spec.loggers for name in tracker] == named
    again = SweepSpec.model_validate(yaml12.load(yaml12.dump(spec.model_dump(mode="json")), "s")[0])
    assert again.loggers == spec.loggers


@pytest.mark.parametrize(
    ("loggers", "words"),
    [
        ("[tensorbord]", "unknown tracker 'tensorbord'; known are tensorboard, csv, json, mlflow, wandb; did you mean"),
        ("[{mlflow: {trackin_uri: x}}]", "unknown option 'trackin_uri' of mlflow; known are experiment, tracking_uri"),
        ("[{csv: {path: x}}]", "unknown option 'path' of csv; it has none"),
        ("[{wandb: {mode: on}}]", "mode of wandb is offline or online, not 'on'"),
        ("[csv, csv]", "csv stands twice"),
        ("[{csv: {}, json: {}}]", "an entry names one tracker"),
        ("[3]", "3 is neither a name nor"),
    ],
)
def test_loggers_that_cannot_be_are_refused(tmp_path: Path, loggers: str, words: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(f"name: s\nbudgets: [0.5]\nloggers: {loggers}\n")
    with pytest.raises(InputError) as refused:
        specfile.load_sweep(file)
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"{file}:3: loggers")


def test_a_tracker_that_is_not_installed_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_installed(sweep(["tensorboard", "csv", "json"]))
    with pytest.raises(InputError, match=r"loggers\.1: mlflow is not installed: pip install mlflow"):
        check_installed(sweep(["csv", "mlflow"]))
