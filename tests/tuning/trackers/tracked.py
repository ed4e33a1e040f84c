"""A small sweep for the tests of trackers, and what each tracker has of its first trial, read as a user's tools do."""

from __future__ import annotations

import csv
import importlib
import json
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.config import Json, SweepSpec
from ofb_ray.results.cells import plain_cell
from ofb_ray.results.files import Progress, TrialFile, trial_folder
from ofb_ray.results.records import Record
from ofb_ray.tuning.trackers import Trackers
from tests.tuning.fake import make_record

ALL = list(range(1, 7))
EPOCHS = {"dense": 2, "search": 3, "finetune": 1}
STEPS = [(phase, epoch + 1) for phase, count in EPOCHS.items() for epoch in range(count)]


def sweep(loggers: list[Any], **changes: Any) -> SweepSpec:
    phases = {phase: {"epochs": count} for phase, count in EPOCHS.items()}
    return SweepSpec.model_validate({"name": "s", "budgets": [0.5], "loggers": loggers, **phases, **changes})


def issue(results: Path, spec: SweepSpec, number: int = 0, params: Json | None = None) -> Record:
    """Write the trial.json of a trial; its record to be."""
    cell, params = spec.cells[0], params or {"search.lr": 0.01, "search.mask": "both"}
    trial = spec.trial(cell, params)
    tree = trial.model_dump(mode="json")
    known = {"sweep": "s", "label": "0.5", "cell": plain_cell(cell), "params": params}
    TrialFile(trial=number, key=trial.key, spec=tree, **known).write(trial_folder(results, number))
    return make_record(trial, number, "s", history=[row(step) for step in ALL])


def row(step: int) -> Json:
    """What is reported of an epoch."""
    phase, epoch = STEPS[step - 1]
    extra = {"expected_macs": 600_000 - step} if phase == "search" else {}
    return {"phase": phase, "epoch": epoch, "loss": 1 / step, "top1_val": 50.0 + step, **extra}


def report(trackers: Trackers, steps: list[int], number: int = 0) -> None:
    for step in steps:
        trackers.progress(number, Progress(**row(step), epochs=3, progress=step / 6, message=""))


def of_csv(results: Path) -> list[tuple[int, float]]:
    with (results / "loggers" / "00000" / "progress.csv").open() as file:
        return [(int(line["step"]), float(line["loss"])) for line in csv.DictReader(file)]


def of_json(results: Path) -> list[tuple[int, float]]:
    lines = (results / "loggers" / "00000" / "result.json").read_text().splitlines()
    return [(tree["step"], tree["loss"]) for tree in map(json.loads, lines)]


def board(results: Path, number: str = "00000") -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(results / "loggers" / "tensorboard" / number))
    return accumulator.Reload()


def of_tensorboard(results: Path) -> list[tuple[int, float]]:
    assert [path.name for path in (results / "loggers" / "tensorboard").iterdir()] == ["00000"]
    return [(event.step, event.value) for event in board(results).Scalars("loss")]


def of_mlflow(results: Path) -> list[tuple[int, float]]:
    client, (run,) = mlflow_runs(results)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"budget": "0.5", "seed": "0", "search.lr": "0.01", "search.mask": "both"}
    assert run.data.metrics["final/macs"] == 500_000
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "loss"))


def mlflow_runs(results: Path) -> tuple[Any, list[Any]]:
    client: Any = importlib.import_module("mlflow").MlflowClient(f"sqlite:///{results}/ml.db")
    return client, list(client.search_runs([client.get_experiment_by_name("s").experiment_id]))


def log_records(data: bytes) -> Iterator[bytes]:
    """The records of a W&B file, a LevelDB log: a head of 7 bytes, blocks of 32 KiB, records whole or in parts."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        if (rest := 32768 - place % 32768) < 7:
            place += rest
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        if place + 7 + length > len(data):
            return  # still being written
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def of_wandb(results: Path) -> list[tuple[int, float]]:
    """All offline parts of the one run, as `wandb sync` would send them."""
    kept: Any = importlib.import_module("wandb.proto.wandb_internal_pb2").Record

    def stored(path: Path) -> list[Any]:
        return [kept.FromString(data) for data in log_records(path.read_bytes())]

    found, ids = [], set()
    for path in sorted((results / "loggers" / "wandb").glob("offline-run-*/*.wandb")):
        # W&B's own process may still be writing when a run is finished.
        until(lambda path=path: any(record.WhichOneof("record_type") == "exit" for record in stored(path)))  # type: ignore[misc]
        for record in stored(path):
            if record.WhichOneof("record_type") == "run":
                ids.add(record.run.run_id)
            elif record.WhichOneof("record_type") == "history":
                values = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                found.append((record.history.step.num, values["loss"]))
    assert ids == {f"{(results / 'loggers' / 'identity').read_text()}-00000"}
    return found


Read = Callable[[Path], list[tuple[int, float]]]
KINDS: list[tuple[str, Read, list[int]]] = [
    ("csv", of_csv, ALL),
    ("json", of_json, ALL),
    # Steps of a drawn line only grow: an epoch that was trained between two drivers stays out.
    ("tensorboard", of_tensorboard, [1, 2, 4, 5, 6]),
    ("mlflow", of_mlflow, ALL),
    ("wandb", of_wandb, [1, 2, 4, 5, 6]),
]


def entry(name: str, results: Path) -> Any:
    """A sweep file's entry that needs no network; skips where the package is missing."""
    pytest.importorskip(name) if name in ("tensorboard", "mlflow", "wandb") else None
    return {"mlflow": {name: {"tracking_uri": f"sqlite:///{results}/ml.db"}}, "wandb": {name: {"mode": "offline"}}}.get(
        name, name
    )


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
