"""Run a recorded trial again, from its record alone, and compare its numbers with the record's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ofb_ray.config import TrialSpec
from ofb_ray.errors import InputError
from ofb_ray.results.files import RECORD_FILE, SHARED_FOLDER, WEIGHTS_FILE
from ofb_ray.results.records import Record, read_record
from ofb_ray.results.store import fetched
from ofb_ray.trial.local_workers import local_team
from ofb_ray.trial.run import run_trial
from ofb_ray.tuning.console import report

# What decides the bits on a CPU, beside the spec.
_BITS = ("torch", "timm", "numpy", "device", "device_name", "threads", "workers")
_SHOWN = 8
_MOST = 1024


def rerun(location: str, out: Path | None) -> int:
    """Run the trial of a record again and print whether its numbers came again.

    Args:
        location: a trial folder, its `record.json`, or its URI.
        out: the folder of the new trial; by default results/<sweep>-<number>-again.
    Returns:
        Exit code: 0, or 1 where a number differs.
    Raises:
        InputError: no readable record, its spec cannot be run, or `out` holds something else.
    """
    source, record = _original(location)
    spec = _spec(record, location)
    threads = _count(record.environment, "threads", torch.get_num_threads(), location)
    workers = _count(record.environment, "workers", 1, location)
    folder = out or Path("results") / f"{record.sweep or 'trial'}-{record.trial:05d}-again"
    if folder.resolve() == source.resolve():
        raise InputError("is the record's own folder: give another --out", file=str(folder), key="--out")
    earlier = (folder / RECORD_FILE).exists()
    report.check_trial_folder(folder, spec)
    # A sum over threads is taken in an order that their number decides.
    torch.set_num_threads(threads)
    start = time.monotonic()
    team = local_team(workers, spec, folder, record.sweep)
    with report.TrialLine() as line, team:
        again = run_trial(spec, line.show, folder, shared=folder / SHARED_FOLDER, sweep=record.sweep)
    print(report.trial_summary(again, folder, time.monotonic() - start))
    if earlier:
        print(f"nothing was run: {folder} holds a trial that has ended, and is compared; remove it to run again")
    lines = [*differences(record, again), *_weights(source, folder)]
    epochs = len(again.history)
    if not lines:
        print(f"equal to the record: {epochs} epochs, {len(again.events)} cuts, widths, accuracies, MACs, parameters")
        return 0
    print(f"differs from the record of trial {record.trial}:")
    for text in lines[:_SHOWN]:
        print(f"  {text}")
    if len(lines) > _SHOWN:
        print(f"  ... and {len(lines) - _SHOWN} more")
    for text in _explanations(record, again):
        print(f"  {text}")
    return 1


def _count(environment: dict[str, Any], key: str, default: int, location: str) -> int:
    """Read a number of threads or processes that somebody's record asks this machine for."""
    value = environment.get(key) or default
    if not isinstance(value, int) or not 1 <= value <= _MOST:
        raise InputError(f"is {value!r}, not a number from 1 to {_MOST}", file=location, key=f"environment.{key}")
    return value


def differences(first: Record, second: Record) -> list[str]:
    """List what differs between two records of one trial, apart from times and machines, a line each."""
    found = [f"status: {first.status}, now {second.status}"] if first.status != second.status else []
    for name in ("dense", "subnet", "arch", "budget"):
        before, now = ({} if each is None else _plain(each) for each in (getattr(first, name), getattr(second, name)))
        found += _leaves(before, now, name)
    for name in ("history", "events"):
        found += _rows(getattr(first, name), getattr(second, name), name)
    return found


def _original(location: str) -> tuple[Path, Record]:
    folder = location.removesuffix(RECORD_FILE).rstrip("/") or "."
    source = fetched(folder, (RECORD_FILE,))
    record = read_record(source)
    if record is None:
        raise InputError(f"has no {RECORD_FILE}: give the folder of a trial that has ended", file=folder, key="--from")
    return source, record


def _spec(record: Record, location: str) -> TrialSpec:
    search = record.spec.get("search", {})
    # Before there were recipes, every search was the released one.
    recipe = {"recipe": "paper"} if isinstance(search, dict) and "recipe" not in search else {}
    try:
        return TrialSpec.model_validate({**record.spec, "search": {**search, **recipe}} if recipe else record.spec)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"the record's spec is not one of this version ({first['msg']}); install the one that made it, ofb_ray "
            f"{record.environment.get('ofb_ray', 'unknown')}",
            file=location,
            key=key,
        ) from None


def _plain(value: Any) -> Any:
    return value if isinstance(value, dict) else value.model_dump()


def _leaves(before: Any, now: Any, name: str) -> Iterator[str]:
    """Write a line for each leaf of two trees that is not equal."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before | now:
            yield from _leaves(before.get(key), now.get(key), f"{name}.{key}")
    elif before != now:
        yield f"{name}: {before}, now {now}"


def _rows(before: list[dict[str, Any]], now: list[dict[str, Any]], name: str) -> Iterator[str]:
    """Write a line about the first row that differs: the rows behind it follow from it."""
    for number, (one, other) in enumerate(zip(before, now, strict=False)):
        if lines := list(_leaves(one, other, name)):
            phase = f"{one['phase']} " if "phase" in one else ""
            yield f"{name}: apart from row {number + 1} on ({phase}epoch {one.get('epoch')}): {'; '.join(lines[:2])}"
            return
    if len(before) != len(now):
        yield f"{name}: {len(before)} rows, now {len(now)}"


def _weights(source: Path, folder: Path) -> list[str]:
    """Compare the subnet's weights, where the original still has them."""
    one, other = source / WEIGHTS_FILE, folder / WEIGHTS_FILE
    if one.exists() and other.exists() and one.read_bytes() != other.read_bytes():
        return [f"{WEIGHTS_FILE}: other bits"]
    return []


def _explanations(record: Record, again: Record) -> list[str]:
    """List what may explain a difference."""
    then, now = record.environment, again.environment
    lines = [f"{name} was {then.get(name)}, is {now.get(name)}" for name in _BITS if then.get(name) != now.get(name)]
    if record.status == "stopped":
        lines.append("the record's trial was stopped by a gate, which is asked in sweeps alone")
    if again.environment.get("device") != "cpu":
        lines.append("on a GPU sums are not repeated bit for bit")
    return lines or ["versions, device and threads are those of the record"]
