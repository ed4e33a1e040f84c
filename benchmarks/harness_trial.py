"""The trials of `benchmarks.harness`: one that only reports and writes its record, and the real one with its times."""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from ofb_ray.config import TrialSpec
from ofb_ray.results.atomic import write_json
from ofb_ray.results.records import BudgetOutcome, Network, Record, read_record, write_record

# What is explored: the digits sweep's parameters and ranges, all logarithmic.
SPACE = {
    "search.one_hot_weight": (0.1, 2.0),
    "search.budget_weight": (1.0, 20.0),
    "search.alpha_travel": (2.0, 12.0),
}
DENSE_MACS = 1_000_000
_HELD_OUT = 216


def values(chosen: Sequence[float]) -> tuple[float, int]:
    """Accuracy in percent, in steps of one held-out image, and MACs just below the budget of a half, as on digits."""
    pairs = zip(chosen, SPACE.values(), strict=True)
    places = [math.log(value / low) / math.log(high / low) for value, (low, high) in pairs]
    noise = crc32(repr(places).encode()) / 2**32
    top1 = 98.5 - 3 * (places[0] - 0.4) ** 2 - 2 * (places[1] - 0.7) ** 2 + noise - 0.5
    return 100 * round(_HELD_OUT * top1 / 100) / _HELD_OUT, int(DENSE_MACS * (0.496 + 0.004 * noise * places[2]))


def run_trial(
    spec: TrialSpec,
    report: Callable[[dict[str, Any]], None],
    workdir: Path,
    *,
    shared: Path,
    trial: int = 0,
    sweep: str = "",
    explored: dict[str, Any] | None = None,
) -> Record:
    """Report once, write the record."""
    if (stored := read_record(workdir)) is not None:
        return stored
    top1, macs = values([getattr(spec.search, key.rpartition(".")[2]) for key in SPACE])
    report({"phase": "search", "epoch": 0, "epochs": 1, "progress": 1.0, "top1_val": top1, "expected_macs": macs})
    network = Network(macs=macs, params=macs, top1_val=top1, top5_val=top1, top1_test=top1, top5_test=top1)
    record = Record(
        trial=trial,
        sweep=sweep,
        key=spec.key,
        status="finished",
        spec=spec.model_dump(mode="json"),
        params_explored=explored or {},
        seed=spec.seed,
        budget=BudgetOutcome(
            label=spec.budget.label,
            resource="macs",
            target=DENSE_MACS // 2,
            used=2 * macs / DENSE_MACS,
            minimum=1000,
        ),
        dense=network.model_copy(update={"macs": DENSE_MACS, "params": DENSE_MACS}),
        subnet=network,
        seconds={"search": 0.0},
    )
    write_record(workdir, record)
    return record


def digits_trial(spec: TrialSpec, report: Callable[[dict[str, Any]], None], workdir: Path, **others: Any) -> Record:
    """The real trial; leaves in times.json when it began and ended, and what it left on the disk and in memory.

    `dense_seconds` is the time of the dense network, which the first trial trains and the others wait for or load.
    """
    called = time.time()
    from ofb_ray.trial.run import run_trial

    begin, largest, dense_end = time.time(), 0, time.time()

    def watched(progress: dict[str, Any]) -> None:
        nonlocal largest, dense_end
        largest = max(largest, sum(path.stat().st_size for path in workdir.iterdir()))
        if progress.get("phase") == "dense":
            dense_end = time.time()
        report(progress)

    record = run_trial(spec, watched, workdir, **others)
    known = {"trial": record.trial, "pid": os.getpid(), "called": called, "begin": begin, "end": time.time()}
    sizes = {"largest_bytes": largest, "left_bytes": sum(path.stat().st_size for path in workdir.iterdir())}
    peak = {"rss_mib": _rss_mib(), "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    write_json(workdir / "times.json", {**known, "dense_end": dense_end, **sizes, **peak})
    return record


def _rss_mib() -> float:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
