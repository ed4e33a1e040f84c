"""The latency of a trial whose budget limits it: its tables, measured once a machine, and what its subnet takes."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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
from ofb_ray.latency.measure import measure, prepared
from ofb_ray.latency.turns import run_turns
from ofb_ray.method.axis import Widths
from ofb_ray.method.chain import Candidates
from ofb_ray.method.cost import Table, cost, units_of
from ofb_ray.method.projection import Goal, make_goal
from ofb_ray.results.atomic import write_json
from ofb_ray.results.files import PROMISE_FILE, read_model
from ofb_ray.results.records import LatencyOutcome
from ofb_ray.train.team import Team
from ofb_ray.trial.current import Current
from ofb_ray.trial.plan import meta_network, resolve_model

Show = Callable[[str], None]
# Of a subnet against its dense network.
_PROMISE_SECONDS = 20.0
# What a subnet may take of its limit, and how often the projection is repeated for it.
TOLERANCE, _CORRECTIONS = 1.03, 3
# Of a machine's trials one measures at a time.
_LOCK = ".latency.lock"
# A table with a larger median error was measured beside other work.
_BUSY = 0.1


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
    with FileLock(shared / _LOCK):
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
    net, image = _network(model), image_of(model)
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


def _network(model: ModelSpec) -> nn.Module:
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


class Promise:
    """Times the subnet that a search has chosen against its dense network, before it is cut.

    Args:
        current: the trial.
    """

    def __init__(self, current: Current) -> None:
        self._current, self._corrections = current, 0

    def corrected(self, goal: Goal, candidates: Candidates, widths: Widths) -> Goal | None:
        """Return a goal that is lower by as much as a network was too slow; None where it is fast enough.

        The last resort is the smallest network, and the fourth network is taken as it is: the record says what it
        takes.
        """
        team, corrections = self._current.team, self._corrections
        outcome = team.from_main(lambda: _measured(self._current, widths, corrections))
        spent = cost(goal.terms, units_of(widths))
        least = cost(goal.terms, units_of({name: sizes[0] for name, sizes in candidates.items()}))
        fast = outcome.used is None or outcome.used <= TOLERANCE
        if fast or corrections == _CORRECTIONS or spent == least:
            self._write(outcome)
            return None
        self._corrections += 1
        return make_goal(goal.terms, candidates, max(least, int(goal.target / (outcome.used or 1.0))))

    def _write(self, outcome: LatencyOutcome) -> None:
        if self._current.team.is_main:
            write_json(self._current.workdir / PROMISE_FILE, outcome.model_dump())


def read_outcome(current: Current, widths: Widths) -> LatencyOutcome | None:
    """Return how a trial's budget of latency was kept: as its search measured it, else measured now."""
    if current.planned.dense_ns is None:
        return None
    found = read_model(LatencyOutcome, current.workdir / PROMISE_FILE)
    return _measured(current, widths, 0) if found is None else found


def note_of(outcome: LatencyOutcome | None) -> str:
    """Say where a subnet's latency is not what its table says; empty where it is."""
    if outcome is None or outcome.used is None:
        return ""
    off = outcome.table_error or 0.0
    if off > _BUSY and outcome.used <= TOLERANCE:
        return f"its table is off by {100 * off:.0f} % (median): measure it on a quiet machine, or with fewer threads"
    if outcome.used > TOLERANCE:
        low, high = (
            (outcome.used * value / (outcome.ratio or 1.0))
            for value in (outcome.ratio_low or 0.0, outcome.ratio_high or 0.0)
        )
        return f"measured, the subnet takes {outcome.used:.2f} of the limit ({low:.2f} to {high:.2f})"
    if outcome.corrections:
        return f"made smaller than its table asks for, as it was slower than that says ({outcome.corrections} times)"
    return ""


def _measured(current: Current, widths: Widths, corrections: int) -> LatencyOutcome:
    """Time a subnet of these widths against the dense network, in turns; a table from elsewhere is believed."""
    spec, planned = current.spec, current.planned
    how, told = spec.latency, planned.latency_ns(widths)
    assert how is not None
    assert told is not None
    outcome = LatencyOutcome(
        target_ms=planned.target / 1e6,
        predicted_ms=told / 1e6,
        dense_ms=planned.dense_cost / 1e6,
        corrections=corrections,
        table_error=current.latency_error,
    )
    if how.table is not None:
        return outcome
    current.show("search", {"epoch": current.spec.epochs("search")}, "measuring the subnet's latency")
    net = _network(planned.model)
    with FileLock(current.shared / _LOCK), prepared(how) as device:
        sizes, image = [widths], image_of(planned.model)
        dense, subnet = run_turns(net, planned.backbone, sizes, how, image, device, _PROMISE_SECONDS)
    low, ratio, high = np.quantile(subnet / dense, [0.1, 0.5, 0.9])
    return outcome.model_copy(
        update={
            "measured_dense_ms": 1e3 * float(np.median(dense)),
            "ratio": float(ratio),
            "ratio_low": float(low),
            "ratio_high": float(high),
            "rounds": len(dense),
        }
    )
