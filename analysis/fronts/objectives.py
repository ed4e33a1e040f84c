"""Define what a front can be drawn of: accuracies, sizes, measured latency, and what the search cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from analysis.names import ACCURACIES, OBJECTIVES, SIZES
from analysis.trials.trial import Results, Trial
from ofb_ray.errors import InputError
from ofb_ray.results.files import LatencyFile
from ofb_ray.results.int8 import INT8_BACKEND, read_latency
from ofb_ray.results.records import Network

BACKENDS = ("torch", "compile", "onnxruntime", INT8_BACKEND)
IN_INT8 = "The subnets are timed in int8, the dense network in float32; accuracies are those in float32."
Value = float | None


@dataclass(frozen=True)
class Objective:
    """One quantity of a trial's subnet.

    Args:
        name: as on the command line; label: for an axis, with the unit where it does not depend on the size.
        goal: 1 where more is better, -1 where less is.
        kind: percent, count, ms, s or "of dense".
        of: the value of a trial, None where it was not measured; dense: the same of the trial's dense network.
        remedy: how a value that is missing comes about.
        notes: what a reader must know of the values.
    """

    name: str
    label: str
    goal: int
    kind: str
    of: Callable[[Trial], Value]
    dense: Callable[[Trial], Value]
    remedy: str = ""
    notes: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        """The label without its unit, for a sentence."""
        return self.label.partition(" (")[0].removesuffix(" per image")

    @property
    def is_test(self) -> bool:
        """Whether it is read on the test split, which takes no part in the selection."""
        return self.name.endswith("_test")


def objective(name: str, results: Results, option: str = "x") -> Objective:
    """Return the objective of this name for these results.

    Args:
        name: of `OBJECTIVES`; `latency` is torch at batch 1, `latency:BACKEND:BATCH` another.
        option: the command line's option that gave it.

    Raises:
        InputError: there is no such objective.
    """
    if name in ACCURACIES:
        return Objective(name, ACCURACIES[name], 1, "percent", _size("subnet", name), _size("dense", name))
    if name in SIZES:
        return Objective(name, SIZES[name], -1, "count", _size("subnet", name), _size("dense", name))
    if name == "search_cost":
        return _search_cost(results)
    if name == "latency_ratio":
        return _ratio(results)
    head, *rest = name.split(":")
    if head == "latency" and len(rest) in (0, 2):
        backend, batch = rest if rest else ("torch", "1")
        if backend in BACKENDS and batch.isdecimal() and int(batch) > 0:
            return _latency(name, backend, int(batch), results)
    allowed = f"{', '.join(OBJECTIVES)} or latency:BACKEND:BATCH, such as latency:onnxruntime:16"
    raise InputError(f"`{name}` is no objective; allowed: {allowed}", key=f"--{option}")


def file_part(name: str) -> str:
    """Write an objective's name as a part of a file's name."""
    return name.replace(":", "-")


def measured_latencies(results: Results) -> list[str]:
    """Name the latencies that some finished trial has, by `ofb-ray latency` or `export --int8`: `latency:torch:1`."""
    found: dict[str, None] = {}
    for trial in results.by_status("finished"):
        for backend in ("torch", INT8_BACKEND):  # each has a file of its own
            file = _latency_file(trial.folder, backend)
            rows = file.rows if file else ()
            found |= dict.fromkeys(f"latency:{row.backend}:{row.batch}" for row in rows if row.network == "subnet")
    return sorted(found)


def default_x(results: Results) -> str:
    """Name what fronts are drawn over where nobody says it: MACs; latency where each subnet had a budget of that."""
    records = [trial.record for trial in results.by_status("finished") if trial.record and trial.record.subnet]
    return "latency_ratio" if records and all(record.latency for record in records) else "macs"


def _ratio(results: Results) -> Objective:
    """Divide by the dense network's latency: as measured, or as told by tables where no subnet was timed."""
    outcomes = [trial.record.latency for trial in results.trials if trial.record and trial.record.latency]
    timed = any(outcome.ratio is not None for outcome in outcomes)

    def value(trial: Trial) -> Value:
        outcome = trial.record.latency if trial.record else None
        if outcome is None:
            return None
        return outcome.ratio if timed else outcome.predicted_ms / outcome.dense_ms

    how = "measured before fine-tuning" if timed else "by its table"
    label = f"latency (share of the dense network's, {how})"
    return Objective("latency_ratio", label, -1, "of dense", value, lambda trial: None if value(trial) is None else 1.0)


def _size(network: str, column: str) -> Callable[[Trial], Value]:
    def value(trial: Trial) -> Value:
        size: Network | None = getattr(trial.record, network, None)
        return getattr(size, column, None)

    return value


def _search_cost(results: Results) -> Objective:
    """Sum the seconds of search and fine-tuning; the dense network is shared by many trials and has no such cost."""
    records = [trial.record for trial in results.by_status("finished") if trial.record]
    on_gpu = bool(records) and all(record.gpu_seconds.get("search") is not None for record in records)

    def value(trial: Trial) -> Value:
        record = trial.record
        seconds = (record.gpu_seconds if on_gpu else record.seconds) if record else {}
        return seconds["search"] + seconds.get("finetune", 0.0) if "search" in seconds else None

    kind = "GPU time" if on_gpu else "wall time"
    note = "" if on_gpu else "Search cost is wall time: not every record has GPU seconds."
    label = f"search and fine-tuning, {kind}"
    return Objective("search_cost", label, -1, "s", value, lambda trial: None, notes=(note,) if note else ())


def _latency(name: str, backend: str, batch: int, results: Results) -> Objective:
    files = {trial.folder: _latency_file(trial.folder, backend) for trial in results.by_status("finished")}

    def of(network: str) -> Callable[[Trial], Value]:
        def value(trial: Trial) -> Value:
            file = files.get(trial.folder)
            return file.median_ms(network, backend, batch) if file else None

        return value

    timed = [file for file in files.values() if file and file.median_ms("subnet", backend, batch) is not None]
    machines = {(file.device_name, file.threads) for file in timed}
    notes = ["Latencies come from different machines or numbers of threads: they do not compare."] * (len(machines) > 1)
    asked = ""
    if backend == INT8_BACKEND:
        notes, asked = [*notes, IN_INT8], f" --backend {backend}"
    where = f", {next(iter(machines))[0]}" if len(machines) == 1 else ""
    folders = " ".join(str(folder) for folder in results.folders)
    label = f"latency (ms, {backend}, batch {batch}{where})"
    remedy = f"`ofb-ray latency {folders}{asked}` measures it"
    return Objective(name, label, -1, "ms", of("subnet"), of("dense"), remedy, tuple(notes))


def _latency_file(folder: Path, backend: str) -> LatencyFile | None:
    """Read what was measured of a trial; None where the file is missing, torn or foreign."""
    try:
        return read_latency(folder, backend)
    except (OSError, ValueError):
        return None
