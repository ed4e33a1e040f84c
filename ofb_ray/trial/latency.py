"""The tables of latency that a trial's budget is told by: from a file, or measured once a machine."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock
from torch import nn

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.backbones.base import Backbone
from ofb_ray.backbones.weights import bare
from ofb_ray.config import LatencySpec, ModelSpec, TrialSpec
from ofb_ray.config.base import digest
from ofb_ray.export.latency import device_name
from ofb_ray.latency.file import LatencyTable, read_table, tables_of, write_table
from ofb_ray.latency.measure import measure
from ofb_ray.method.cost import Table
from ofb_ray.train.team import Team
from ofb_ray.trial.plan import meta_network, resolve_model

Show = Callable[[str], None]
# Of a machine's trials one measures at a time.
LOCK = ".latency.lock"


def image_of(model: ModelSpec) -> tuple[int, int, int]:
    """The images of a resolved model: channels, height, width."""
    size = model.args["img_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return int(model.args["in_chans"]), int(height), int(width)


class Latency(NamedTuple):
    """What is known of a trial's latency: tables, and the median error of what they say; nothing without a limit."""

    tables: tuple[Table, ...] = ()
    error: float | None = None


def trial_latency(spec: TrialSpec, shared: Path, team: Team, show: Show) -> Latency:
    """Return the tables of a trial's latency: those of its file, else measured here once for all trials.

    Args:
        shared: folder in which the trials of this machine share them.
        show: told what is measured; of rank 0.
    Raises:
        InputError: the file is another network's, or what is to be measured is not here.
    """
    how = spec.latency
    if how is None:
        return Latency()
    model = resolve_model(spec)
    backbone = describe_backbone(meta_network(model), spec.search.space)
    found = team.from_main(lambda: _found(spec, how, model, backbone, shared, show))
    tables = tables_of(found, backbone, model.name, how.table or str(shared))
    return Latency(tables, found.typical_error)


def _found(
    spec: TrialSpec, how: LatencySpec, model: ModelSpec, backbone: Backbone, shared: Path, show: Show
) -> LatencyTable:
    if how.table is not None:
        return read_table(Path(how.table))
    path = shared / f"latency-{_key(spec, how, model)}.json"
    shared.mkdir(parents=True, exist_ok=True)
    show("waiting for the table of latencies")
    with FileLock(shared / LOCK):
        if not path.exists():
            make_table(path, how, model, backbone, show)
        return read_table(path)


def make_table(path: Path, how: LatencySpec, model: ModelSpec, backbone: Backbone, show: Show) -> LatencyTable:
    """Measure the tables of a network's latency here, and write them into a file.

    Args:
        model: resolved.
        show: told what is measured.
    Raises:
        InputError: what is to be measured is not here.
    """
    net, image = timed_network(model), image_of(model)
    known = measure(net, backbone, how, image, show)
    write_table(
        path,
        {
            "model": model.name,
            "image": image,
            "batch": how.batch,
            "backend": how.backend,
            "device_name": device_name(torch.device(how.device)),
            "threads": how.threads,
            "precision": how.precision,
            "versions": _versions(),
            "dense_ms": round(1e3 * known.dense_seconds, 4),
            "networks": known.networks,
            "repeated": known.repeated,
            "typical_error": round(known.typical_error, 4),
            "large_error": round(known.large_error, 4),
            "seconds": round(known.seconds, 1),
        },
        known.tables,
    )
    return read_table(path)


def timed_network(model: ModelSpec) -> nn.Module:
    """Build a network with weights that the same seed always draws; torch's generators stay as they were."""
    with torch.random.fork_rng(list(range(torch.cuda.device_count()))):
        torch.manual_seed(0)
        return create(bare(model)).eval()


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("torch", "timm", "onnxruntime")}


def _key(spec: TrialSpec, how: LatencySpec, model: ModelSpec) -> str:
    facts: dict[str, Any] = {
        "model": [model.name, model.args],
        "space": spec.search.space.model_dump(mode="json"),
        "latency": how.model_dump(mode="json"),
        "machine": [platform.node(), device_name(torch.device(how.device)) if _there(how) else ""],
        "versions": _versions(),
    }
    return digest(facts)


def _there(how: LatencySpec) -> bool:
    return how.device == "cpu" or torch.cuda.is_available()
