"""Name the files of a results folder, and read and write those that are JSON as typed, frozen models.

    <storage>/<sweep name>/
        sweep.yaml, study.journal, shared/, loggers/, analysis/
        00000/  trial.json, progress.json, trial.log, record.json, ...
        00001/  ...

`record.json` has a module of its own, `records.py`. Keys that a file does not state stay out of it when it is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ofb_ray.config import SWEEP_NAME, Json, TrialSpec
from ofb_ray.errors import BrokenFileError
from ofb_ray.inputs import read_json_file
from ofb_ray.results.atomic import write_json

if TYPE_CHECKING:
    from typing_extensions import Self

Model = TypeVar("Model", bound=BaseModel)

# In the results folder.
SWEEP_FILE, JOURNAL_FILE = "sweep.yaml", "study.journal"
SHARED_FOLDER, LOGGER_FOLDER, ANALYSIS_FOLDER = "shared", "loggers", "analysis"
PREVIEW_FOLDER = "preview"
# Sizes and times of a store's files when its local copy was made.
INDEX_FILE = ".index.json"
# In a trial's folder.
TRIAL_FILE, PROGRESS_FILE, LOG_FILE, RECORD_FILE = "trial.json", "progress.json", "trial.log", "record.json"
ATTEMPTS_FILE, GATE_FILE, DEATH_FILE = "attempts.json", "gate.json", "death.json"
ARCH_FILE, WEIGHTS_FILE, TRACE_FILE, LATENCY_FILE = "arch.json", "model.safetensors", "search.npz", "latency.json"
# In the folder of a trial with a budget of latency: how it was kept, until the record says it.
PROMISE_FILE = "promise.json"
# In the folder of a trial, of a dense network or of a kept search: the checkpoint while it is worked on.
STATE_FILE = "state.pt"
# In the folder of a trial of a chain: the search of the budget above, where its own trial has not left it.
ABOVE_FOLDER = "above"
# In shared/<dense key>/ and shared/search-<search key>/.
DENSE_FILE, DENSE_WEIGHTS_FILE, KEPT_SEARCH = "dense.json", "dense.safetensors", "search-"
# Locks of one machine or file system; WORK_LOCK is run_trial's own, and a process that took a file's lock twice would
# wait for itself.
DRIVER_LOCK, TRIAL_LOCK, WORK_LOCK = ".driver.lock", ".attempt.lock", ".lock"
# The same in an object store, which has no locks.
DRIVER_LEASE, LEASE_FILE = "driver.json", "lease.json"


def trial_name(number: int) -> str:
    """Name the folder of trial `number`: five digits, so that names sort as numbers."""
    return f"{number:05d}"


def trial_folder(results: Path, number: int) -> Path:
    """Return the folder of trial `number`."""
    return results / trial_name(number)


def trial_folders(results: Path) -> list[Path]:
    """List the trial folders of a results folder, in the order of their numbers."""
    return sorted(path for path in results.iterdir() if path.is_dir() and path.name.isdigit())


def kept_search_name(key: str) -> str:
    """Name the folder below shared/ of a search that is kept for others, by its key."""
    return f"{KEPT_SEARCH}{key}"


def failed_record(count: int) -> str:
    """Name the kept record of a trial's `count`-th failure that was tried again."""
    return f"record.failed-{count}.json"


def read_model(kind: type[Model], path: Path) -> Model | None:
    """Read a JSON file, which may be anybody's, as a model; None where there is none.

    Raises:
        BrokenFileError: it is torn, or another kind of file; names it and the key.
    """
    try:
        return check_model(kind, read_json_file(path), str(path))
    except FileNotFoundError:
        return None


def check_model(kind: type[Model], given: bytes | Json, file: str) -> Model:
    """Make a model of a tree, or of the JSON text of one.

    Raises:
        BrokenFileError: it does not fit; names the file and the key.
    """
    try:
        return kind.model_validate_json(given) if isinstance(given, bytes) else kind.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"]) or None
        if problem["type"] == "json_invalid":
            raise BrokenFileError(f"cannot be read ({problem['msg']}): copy the trial again", file=file) from None
        raise BrokenFileError(f"{problem['msg']}; written by another version?", file=file, key=key) from None


class JsonFile(BaseModel):
    """A JSON file of a trial's folder. Unknown keys are passed over, keys that were not given are not written."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())
    NAME: ClassVar[str]

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read the file of a folder, or return None where there is none.

        Raises:
            BrokenFileError: it is torn, or another kind of file; names it and the key.
        """
        return read_model(cls, folder / cls.NAME)

    def write(self, folder: Path) -> None:
        """Write the file into a folder, atomically."""
        write_json(folder / self.NAME, self.model_dump(exclude_unset=True))


class TrialFile(JsonFile):
    """`trial.json`: what a trial is, written by the driver before the trial starts and never changed."""

    NAME: ClassVar[str] = TRIAL_FILE
    trial: int = Field(ge=0, description="number of the trial in its sweep, from 0")
    sweep: str = Field("", pattern=f"^({SWEEP_NAME})?$", description="name of the sweep")
    key: str = Field(description="hash of the resolved spec: the trial's identity")
    cell: Json = Field({}, description="budget, grid values and seed, by dotted key; empty outside of a sweep")
    label: str = Field("", description="the cell without its seed as short text, such as `0.5, search.mask=both`")
    params: Json = Field({}, description="explored values by dotted key")
    spec: Json = Field(description="the resolved spec; see the sweep's keys")
    follows: int | None = Field(None, description="number of the trial of the budget above in its chain")
    promotes: int | None = Field(None, description="number of the trial whose search a promoted trial takes over")

    @property
    def issued(self) -> bool:
        """Whether it is one of its sweep's suggestions: neither promoted nor a trial without a sweep."""
        return bool(self.cell) and self.promotes is None

    @property
    def grid(self) -> Json:
        """The values of the sweep's grid, by dotted key."""
        return {key: value for key, value in self.cell.items() if key not in ("budget", "seed")}

    @property
    def seed(self) -> int | None:
        """The seed, None where the spec states none."""
        seed = self.spec.get("seed")
        return seed if isinstance(seed, int) else None

    def resolved(self) -> TrialSpec:
        """Return the spec as a model.

        Raises:
            ValueError: it is no spec of this version.
        """
        return TrialSpec.model_validate(self.spec)


class Progress(JsonFile):
    """`progress.json`: the last report of a trial that is running, or why its last attempt ended."""

    NAME: ClassVar[str] = PROGRESS_FILE
    phase: str = Field("", description="`dense`, `search`, `finetune`, `done`, or `died` (bad input, a full disk)")
    epoch: int | None = Field(None, description="epochs of the phase that are done")
    epochs: int | None = Field(None, description="epochs of the phase")
    message: str = Field("", description="what the trial waits for, or why it died")
    progress: float | None = Field(None, description="share of all the trial's epochs that is done, in [0, 1]")
    top1_val: float | None = Field(None, description="top-1 accuracy on the held-out part of train, in percent")
    loss: float | None = Field(None, description="mean training loss of the epoch")
    expected_macs: float | int | None = Field(None, description="expected MACs of the network that is searched")
    stop: bool = Field(False, description="whether no other trial would fare better, so that the sweep ends")
    time: float | None = Field(None, description="when it was written, in seconds since 1970 (UTC)")

    @property
    def died(self) -> bool:
        """Whether the attempt ended by bad input or a full disk; the next launch tries again."""
        return self.phase == "died"


class AttemptPosition(BaseModel):
    """How far an attempt was when it ended."""

    model_config = ConfigDict(frozen=True)
    phase: str | None = Field(None, description="phase of the last report; null before the first")
    epoch: int | None = Field(None, description="epochs of the phase that were done")


class AttemptEnd(BaseModel):
    """How one attempt at a trial ended."""

    model_config = ConfigDict(frozen=True)
    reason: str = Field(description="the error's first line, with a remedy where one is known")
    at: AttemptPosition = Field(description="how far the attempt was")


class Attempts(JsonFile):
    """`attempts.json`: the attempts at a trial that raised an error, oldest first."""

    NAME: ClassVar[str] = ATTEMPTS_FILE
    attempts: tuple[AttemptEnd, ...] = Field((), description="one entry for each attempt that raised an error")


class GateDecision(JsonFile):
    """`gate.json`: whether the early stop let a trial go on, written before that takes effect."""

    NAME: ClassVar[str] = GATE_FILE
    label: str = Field(description="the trial's cell without its seed; trials with equal labels are compared")
    epoch: int = Field(description="fine-tune epochs done when it was decided")
    top1_val: float = Field(description="top-1 accuracy on the held-out part of train, in percent")
    used: float = Field(description="the subnet's cost over its target")
    rank: int = Field(description="non-dominated front of accuracy and cost, 1 for the best")
    place: int = Field(description="position among the trials compared, 1 for the best, equal for equals")
    of: int = Field(description="number of trials compared, this one included")
    stop: bool = Field(description="whether the trial stops here")
    reason: str = Field(description="the decision in a sentence")


class LatencyRow(BaseModel):
    """The time of one network by one backend at one batch size."""

    model_config = ConfigDict(frozen=True)
    network: str = Field(description="`dense` or `subnet`; `subnet-float32` beside a subnet in int8")
    backend: str = Field(description="`torch`, `compile`, `onnxruntime` or `onnxruntime-int8`")
    batch: int = Field(description="images in a batch")
    median_ms: float = Field(description="median time of a batch, in milliseconds")


class LatencyFile(JsonFile):
    """`latency.json`: measured times of a trial's subnet beside its dense network, as far as they are read."""

    NAME: ClassVar[str] = LATENCY_FILE
    device_name: str = Field("", description="the processor or the GPU")
    threads: int | None = Field(None, description="threads of a CPU")
    rows: tuple[LatencyRow, ...] = Field((), description="one entry a network, backend and batch size")

    def median_ms(self, network: str, backend: str, batch: int) -> float | None:
        """Return the median time of a batch in milliseconds, None where it was not measured."""
        wanted = (network, backend, batch)
        times = (row.median_ms for row in self.rows if (row.network, row.backend, row.batch) == wanted)
        return next(times, None)


class Death(JsonFile):
    """`death.json`: why the last attempt ended in an error or in silence, written by the process that ends."""

    NAME: ClassVar[str] = DEATH_FILE
    reason: str = Field(description="the error's first line, with a remedy where one is known")
    at: AttemptPosition = Field(description="how far the attempt was")


class LeaseFile(JsonFile):
    """`lease.json` and `driver.json`: who works on a trial or drives the sweep in an object store, renewed by it.

    In a results folder `driver.json` says who drove it last, without an `id` once that has ended; a lock is the fence.
    """

    NAME: ClassVar[str] = LEASE_FILE
    id: str = Field("", description="random name of the holder")
    host: str = Field("", description="its machine")
    pid: int = Field(0, description="its process id there")
    beat: int = Field(0, description="how often it has been renewed")
    since: float = Field(0.0, description="when the holder began, by its clock, in seconds since 1970 (UTC)")
    command: str = Field("", description="of a driver: the command that continues the sweep")
    time: float = Field(0.0, description="when it was renewed by the holder's clock, in seconds since 1970 (UTC)")
