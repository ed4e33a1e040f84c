"""Write TensorBoard files: a folder, hence a run, for each trial; hyperparameters where its HPARAMS tab looks."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.api_pb2 import Status
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata

from ofb_ray.results.records import Record
from ofb_ray.tuning.trackers.base import EpochRow, TrackedTrial, final_metrics, history, metrics

_STARTED, _ENDED = "_hparams_/session_start_info", "_hparams_/session_end_info"
_FINAL = "final/"


@dataclass
class _Run:
    writer: Any
    steps: set[int] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)


class Board:
    """Event files under `<folder>/<number>/`; a resume adds a file to the same run.

    SummaryWriter is not used: it hands events to a thread that dies without a word when the disk is full, and its
    `add_hparams` makes a second run named by the time.

    Args:
        folder: `<results>/loggers/tensorboard`, for `tensorboard --logdir`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[int, _Run] = {}

    def start(self, trial: TrackedTrial) -> None:
        """Open the run; its hyperparameters are written once.

        No experiment summary: TensorBoard would take the first run's list of parameters for that of all, and
        conditional ones would be missing. It makes the list itself from the runs.
        """
        run = self._open(trial)
        if _STARTED not in run.tags:
            _, begin, _ = summary.hparams(trial.hparams, {})
            self._write(run, begin, 0)

    def log(self, trial: TrackedTrial, step: int, row: EpochRow) -> None:
        """Write all of an epoch's numbers in one event, so that a kill loses or keeps the epoch as a whole."""
        self.start(trial)
        run = self._runs[trial.number]
        if step not in run.steps:
            self._write(run, _scalars(metrics(row)), step)
            run.steps.add(step)

    def end(self, trial: TrackedTrial, record: Record | None, reason: str) -> None:
        """Final metrics and status; lacking epochs only behind the last one that is there, else the line turns back."""
        self.start(trial)
        run = self._runs[trial.number]
        if record is not None:
            known = history(trial, record)
            for step in [step for step in known if step > max(run.steps, default=-1)]:
                self.log(trial, step, known[step])
            if _ENDED not in run.tags:
                self._write(run, _scalars(final_metrics(record)), max(run.steps, default=0))
                self._write(run, _session_end(record.status != "failed"), 0)
        self.forget(trial.number)

    def forget(self, number: int) -> None:
        """Close the file; the next call reads what is in it."""
        run = self._runs.pop(number, None)
        if run is not None:
            run.writer.close()

    def close(self) -> None:
        """Close all files."""
        for number in list(self._runs):
            self.forget(number)

    def _open(self, trial: TrackedTrial) -> _Run:
        if trial.number not in self._runs:
            folder = self._folder / trial.name
            folder.mkdir(parents=True, exist_ok=True)
            files = sorted(folder.glob("events.out.tfevents.*"))
            # The name has the second of the clock: without a number a quick restart would write over its own file.
            run = _Run(EventsWriter(str(folder / "events"), f".{len(files):03d}"))
            for event in (event for path in files for event in events(path)):
                tags = {value.tag for value in event.summary.value}
                run.tags |= tags
                if tags and not any(tag.startswith(("_hparams_/", _FINAL)) for tag in tags):
                    run.steps.add(event.step)
            self._runs[trial.number] = run
        return self._runs[trial.number]

    def _write(self, run: _Run, content: Any, step: int) -> None:
        run.writer.write_event(Event(summary=content, step=step, wall_time=time.time()))
        run.writer.flush()
        run.tags |= {value.tag for value in content.value}


def events(path: Path) -> Iterator[Any]:
    """Read the events of a file (TFRecord framing: length, its checksum, data, its checksum) up to where it is torn."""
    data, offset = path.read_bytes(), 0
    while offset + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, offset)
        if offset + 16 + length > len(data):
            return
        yield Event.FromString(data[offset + 12 : offset + 12 + length])
        offset += 16 + length


def _scalars(values: dict[str, float]) -> Any:
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])


def _session_end(well: bool) -> Any:
    status = Status.Value("STATUS_SUCCESS" if well else "STATUS_FAILURE")
    content = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=time.time()), version=0)
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
    return Summary(value=[Summary.Value(tag=_ENDED, metadata=SummaryMetadata(plugin_data=plugin))])
