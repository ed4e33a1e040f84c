"""Measured latency and throughput of dense networks and their subnets: `latency.json` beside each trial's record."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ofb_ray.errors import InputError
from ofb_ray.export import timing
from ofb_ray.export.network import Arch, build, dense_network, input_size_of
from ofb_ray.export.timing import BACKENDS, INT8, Backend, Clock, Times, onnx_provider
from ofb_ray.results.archs import check_arch
from ofb_ray.results.atomic import write_json
from ofb_ray.results.files import LATENCY_FILE, RECORD_FILE, trial_folders
from ofb_ray.results.locations import is_uri, join
from ofb_ray.results.records import Record, read_record
from ofb_ray.results.store import Remote, readable

FORMAT = 1
DENSE, SUBNET, SUBNET_FLOAT32 = "dense", "subnet", "subnet-float32"
_FLOAT32 = " in float32"
BATCHES = (1, 16)
SECONDS = 30.0
Show = Callable[[str], None]
Document = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """One interleaved run of one backend at one batch size: the times by network."""

    backend: Backend
    batch: int
    times: Mapping[str, Times]

    def ratio(self, name: str, to: str = DENSE) -> tuple[float, float, float]:
        """Time of network `name` over that of network `to`, round by round: median, 10 and 90 % quantiles."""
        low, median, high = np.quantile(self.times[name].seconds / self.times[to].seconds, [0.1, 0.5, 0.9])
        return float(median), float(low), float(high)


@dataclass(frozen=True)
class Subject:
    """A finished trial to be timed: its folder or URI, and its record, which says how the networks are built."""

    location: str
    record: Record

    @property
    def arch(self) -> Arch:
        return check_arch(self.record.arch or {}, f"{self.location.rstrip('/')}/{RECORD_FILE}")


def measure(
    networks: Mapping[str, nn.Module],
    input_size: Sequence[int],
    *,
    backends: Sequence[Backend] = BACKENDS,
    batches: Sequence[int] = BATCHES,
    device: torch.device,
    cap_seconds: float = SECONDS,
    show: Show = lambda _: None,
    clock: Clock = time.perf_counter,
    int8: Mapping[str, bytes] | None = None,
) -> Iterator[Measured]:
    """Time the networks against each other: one interleaved run for each backend and batch size.

    Args:
        networks: put on `device` and into eval mode.
        input_size: C, height and width of an image; images are random.
        cap_seconds: of one run; compiling and warming up come on top.
        show: told what comes next, in a short line.
        clock: what is timed, see `run_interleaved`.
        int8: ONNX files of networks in int8, by name; `onnxruntime-int8` times them beside the networks in float32.
    Raises:
        InputError: a backend cannot run on the device.
    """
    for backend in backends:
        timing.check_backend(backend, device)
    for net in networks.values():
        net.to(device).eval()
    for backend in backends:
        for batch in batches:
            images = torch.randn(batch, *input_size, generator=torch.Generator().manual_seed(0)).to(device)
            calls = {}
            for name, compared in _compared(networks, int8 or {}, backend).items():
                show(f"{backend}, batch {batch}: preparing {name}")
                calls[name] = timing.make_call(compared, images, backend)
            show(f"{backend}, batch {batch}: warming up and timing {len(calls)} networks in turn")
            yield Measured(backend, batch, timing.run_interleaved(calls, cap_seconds=cap_seconds, clock=clock))
            torch.compiler.reset()


def _compared(
    networks: Mapping[str, nn.Module], int8: Mapping[str, bytes], backend: Backend
) -> Mapping[str, nn.Module | bytes]:
    """What a backend times: with int8 a network stands under its name, itself in float32 beside it."""
    if backend != INT8:
        return networks
    return {**networks, **{f"{name}{_FLOAT32}": networks[name] for name in int8}, **int8}


def find_subjects(locations: Iterable[str]) -> list[Subject]:
    """The finished trials in trial folders and results folders (or URIs), in their order, each once.

    Raises:
        InputError: a location has none.
    """
    found: dict[str, Subject] = {}
    for location in locations:
        folder = readable(location)
        inside = trial_folders(folder) if folder.is_dir() and not (folder / RECORD_FILE).exists() else [folder]
        before = len(found)
        for path in inside:
            place = location if path == folder else join(location, path.name)
            record = read_record(path)
            if record is not None and record.status == "finished" and record.arch is not None:
                found[place] = Subject(place, record)
        if len(found) == before:
            raise InputError("no finished trial there: give trial folders or results folders", file=location)
    return list(found.values())


def measure_trials(
    subjects: Sequence[Subject],
    *,
    backends: Sequence[Backend],
    batches: Sequence[int],
    device: torch.device,
    cap_seconds: float = SECONDS,
    show: Show = lambda _: None,
    int8: Mapping[str, bytes] | None = None,
) -> dict[str, Document]:
    """Time the trials' subnets together with the dense network that they come from; the documents by location.

    Trials of one dense network are timed in one interleaved run.

    Args:
        int8: by location, for `onnxruntime-int8`.
    """
    groups: dict[str, list[Subject]] = {}
    for subject in subjects:
        groups.setdefault(json.dumps(subject.arch["model"], sort_keys=True), []).append(subject)
    documents: dict[str, Document] = {}
    for group in groups.values():
        size = input_size_of(group[0].arch)
        networks = {DENSE: dense_network(group[0].arch).eval()} | {each.location: build(each.arch) for each in group}
        own = {each.location: (int8 or {})[each.location] for each in group if INT8 in backends}
        results = list(
            measure(
                networks,
                size,
                backends=backends,
                batches=batches,
                device=device,
                cap_seconds=cap_seconds,
                show=show,
                int8=own,
            )
        )
        documents |= {each.location: _document(each, results, size, device) for each in group}
    return documents


def write_latency(location: str, document: Document) -> None:
    """Write `latency.json` into a trial's folder or store; a reader sees the old one or the new one."""
    if is_uri(location):
        Remote(location).write(LATENCY_FILE, json.dumps(document, indent=1).encode())
    else:
        write_json(Path(location) / LATENCY_FILE, document)


def _document(subject: Subject, results: Iterable[Measured], size: Sequence[int], device: torch.device) -> Document:
    """What `latency.json` holds. Times are milliseconds a batch: the median and the 10 and 90 % quantiles."""
    record = subject.record
    assert record.dense is not None
    assert record.subnet is not None
    rows, ratios = [], []
    for result in results:
        float32 = f"{subject.location}{_FLOAT32}"
        for name, network in ((DENSE, DENSE), (subject.location, SUBNET), (float32, SUBNET_FLOAT32)):
            if name in result.times:
                rows.append({"network": network} | _row(result, result.times[name]))
        middle, low, high = result.ratio(subject.location)
        ratios.append(
            {
                "backend": result.backend,
                "batch": result.batch,
                "time_ratio": round(middle, 4),
                "time_ratio_low": round(low, 4),
                "time_ratio_high": round(high, 4),
                "mac_ratio": round(record.subnet.macs / record.dense.macs, 4),
            }
        )
        if result.backend == INT8:
            ratios[-1]["float32_ratio"] = round(result.ratio(subject.location, float32)[0], 4)
    versions = {name: metadata.version(name) for name in ("torch", "timm", "onnxruntime")}
    return {
        "format": FORMAT,
        "device": device.type,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": versions,
        "onnx_provider": onnx_provider(device) if any(row["backend"].startswith("onnx") for row in rows) else None,
        "input_size": list(size),
        "rows": rows,
        "ratios": ratios,
    }


def _row(result: Measured, times: Times) -> dict[str, Any]:
    low, high = times.interval
    return {
        "backend": result.backend,
        "batch": result.batch,
        "median_ms": round(1e3 * times.median, 4),
        "low_ms": round(1e3 * low, 4),
        "high_ms": round(1e3 * high, 4),
        "images_per_second": round(result.batch / times.median, 2),
        "rounds": len(times.seconds),
    }


def device_name(device: torch.device) -> str:
    """Name a device: a GPU's product name, a CPU's model with what torch uses of its instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{name or platform.processor() or platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"
