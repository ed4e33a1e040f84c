"""A results folder: what is in it, how far its trials are, and who may work on it. Knows neither Ray nor Optuna."""

from __future__ import annotations

import fcntl
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import ValidationError

from ofb_ray.config import Budget, Json, SweepSpec, yaml12
from ofb_ray.errors import InputError
from ofb_ray.results import records
from ofb_ray.results.atomic import read_json, write_atomic
from ofb_ray.results.files import (
    DRIVER_LEASE,
    DRIVER_LOCK,
    INDEX_FILE,
    LEASE_FILE,
    PROGRESS_FILE,
    RECORD_FILE,
    SWEEP_FILE,
    TRIAL_FILE,
    TRIAL_LOCK,
    trial_folder,
    trial_folders,
)
from ofb_ray.results.store import is_uri, join, local_copy

LEASE_SECONDS = 60.0
# What may change between two launches of one sweep: it decides no trial's numbers, nor which trial has which number.
NEUTRAL = ("question", "trials", "warm_start", "resources", "failure", "storage", "loggers", "promote")
GROWING = ("budgets", "seeds")  # lists that may grow by --extend
# In trial.json of a promoted trial: the number of the trial whose search it takes over.
PROMOTES = "promotes"
State = Literal["finished", "failed", "stopped", "running", "died", "waiting"]


@dataclass(frozen=True)
class TrialFacts:
    """One trial as its folder tells it: `params` are the explored values, `seconds` its wall time so far if known."""

    number: int
    state: State
    cell: Json
    params: Json
    progress: Json
    record: records.Record | None


def results_uri(spec: SweepSpec) -> str | None:
    """The URI of the sweep's results, or None where they are a folder."""
    return join(spec.storage, spec.name) if is_uri(spec.storage) else None


def results_folder(spec: SweepSpec) -> Path:
    """The absolute path of the sweep's results folder; of a URI's, the folder on this machine that stands for it."""
    uri = results_uri(spec)
    return local_copy(uri) if uri else Path(spec.storage).expanduser().resolve() / spec.name


def trial_total(spec: SweepSpec, results: Path | None = None) -> int:
    """The number of trials of a sweep: those that are issued in `results`, if given, and those that cells lack."""
    counts = Counter(cell_key(tree["cell"]) for tree in issued(results).values()) if results else Counter()
    return sum(counts.values()) + sum(max(0, spec.wanted(cell) - counts[cell_key(cell)]) for cell in spec.cells)


def issued(results: Path) -> dict[int, Json]:
    """The trial.json of each trial of a sweep that has one, by its number, in order; promoted trials left out."""
    return {number: tree for number, tree in _trees(results).items() if "cell" in tree and PROMOTES not in tree}


def promoted(results: Path) -> dict[int, Json]:
    """The trial.json of each promoted trial, by its number, in order."""
    return {number: tree for number, tree in _trees(results).items() if PROMOTES in tree}


def _trees(results: Path) -> dict[int, Json]:
    folders = trial_folders(results) if results.exists() else []
    return {int(folder.name): read_json(folder / TRIAL_FILE) for folder in folders}


def cell_key(cell: Json) -> str:
    """Equal for equal cells, of a spec or of a trial.json."""
    return json.dumps(plain_cell(cell), sort_keys=True)


def plain_cell(cell: Json) -> Json:
    """A cell as trial.json holds it."""
    budget = cell["budget"]
    return {**cell, "budget": budget.model_dump(exclude_none=True) if isinstance(budget, Budget) else budget}


def cell_of(spec: SweepSpec, number: int) -> Json:
    """The cell of trial `number` of a sweep that starts: cells take turns, so that each gets its share at any time.

    Raises:
        IndexError: there are not so many.
    """
    cells = [(cell, spec.wanted(cell)) for cell in spec.cells]
    for turn in range(max(wanted for _, wanted in cells)):
        lacking = [cell for cell, wanted in cells if wanted > turn]
        if number < len(lacking):
            return lacking[number]
        number -= len(lacking)
    raise IndexError(f"trial {number} beyond the sweep's end")


def cell_label(cell: Json) -> str:
    """A cell without its seed as short text: `0.5`, or `0.5, search.mask=both` where there is a grid."""
    grid = [f"{key}={_short(value)}" for key, value in cell.items() if key not in ("budget", "seed")]
    return ", ".join([cell["budget"].label, *grid])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def params_label(params: Json) -> str:
    """Explored values as short text; a key's last part is enough for a reader."""
    return " ".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in params.items())


def check_same_sweep(results: Path, spec: SweepSpec, extend: bool = False, uri: str | None = None) -> None:
    """A results folder that exists holds this very sweep, up to what is `NEUTRAL`, and its files can be read.

    Args:
        extend: it may also hold the sweep with fewer of its budgets and seeds.
        uri: of which `results` is the local copy, if any.
    Raises:
        InputError: it holds another sweep, or something else.
    """
    where = uri or str(results)
    if results.exists() and not results.is_dir():
        raise InputError("is a file: give another --storage or --name", file=where)
    if not results.exists() or {path.name for path in results.iterdir()} <= {DRIVER_LOCK, DRIVER_LEASE, INDEX_FILE}:
        return  # a driver that was killed while it waited for Ray leaves no more than its lock
    before, now = (_identity(sweep) for sweep in (read_sweep(results, uri), spec))
    for key in GROWING:
        if before[key] != now[key] and all(value in now[key] for value in before[key]):
            if not extend:
                raise InputError(f"the sweep in {where} has others: add --extend to extend it, or --name", key=key)
            before[key] = now[key]
    old, new = _flat(before), _flat(now)
    for key in [*new, *(key for key in old if key not in new)]:
        if old.get(key) != new.get(key):
            raise InputError(
                f"the sweep in {where} has {old.get(key)!r}, this one {new.get(key)!r}: "
                "give another --name, or remove that folder",
                key=key,
            )
    read_facts(results, uri)


def read_sweep(results: Path, uri: str | None = None) -> SweepSpec:
    """The resolved sweep of a results folder.

    Args:
        uri: of which it is the local copy, if any.
    Raises:
        InputError: the folder is no results folder.
    """
    path = results / SWEEP_FILE
    if not path.is_file():
        raise InputError(
            f"no results folder (it has no {SWEEP_FILE}): give <storage>/<sweep name>", file=uri or str(results)
        )
    name = f"{uri.rstrip('/')}/{SWEEP_FILE}" if uri else str(path)
    try:
        return SweepSpec.model_validate(yaml12.load(path.read_text(encoding="utf-8"), name)[0])
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"{problem['msg']}; written by another version?", file=name, key=key) from None


def write_sweep(results: Path, spec: SweepSpec) -> None:
    """Write the resolved sweep."""
    text = yaml12.dump(spec.model_dump(mode="json"))
    write_atomic(results / SWEEP_FILE, text.encode())


def driver_lock(results: Path) -> FileLock:
    """The lock of the one process that drives the sweep, acquired; the system frees it when that process dies.

    Raises:
        InputError: another process has it.
    """
    lock = FileLock(results / DRIVER_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another process drives the sweep in {results}: wait for it (`ofb-ray status {results}`), or give --name"
        ) from None
    return lock


def read_facts(results: Path, uri: str | None = None) -> list[TrialFacts]:
    """All trials that have a folder, in the order of their numbers; also while the sweep is running.

    Args:
        uri: of which `results` is the local copy, if any.
    Raises:
        InputError: a file of a trial cannot be read; names it.
    """
    facts = []
    for folder in trial_folders(results):
        try:
            facts.append(_facts(folder))
        except ValueError as error:  # what a disk or a copy that broke off leaves: we never write a part of a file
            place = f"{uri.rstrip('/')}/{folder.name}" if uri else str(folder)
            problem = " ".join(str(error).split())[:200]
            remedy = "restore the file, or remove this trial's folder: it then runs again"
            raise InputError(f"holds a file that is broken ({problem}): {remedy}", file=place) from None
    return facts


def count_records(results: Path, total: int) -> int:
    """How many of a sweep's `total` trials are done, well or badly."""
    return sum((trial_folder(results, number) / RECORD_FILE).exists() for number in range(total))


def _facts(folder: Path) -> TrialFacts:
    trial, progress = read_json(folder / TRIAL_FILE), read_json(folder / PROGRESS_FILE)
    record = records.read_record(folder)
    state: State
    if record is not None:
        state = record.status
    elif _held(folder / TRIAL_LOCK) or time.time() - read_json(folder / LEASE_FILE).get("time", 0) < LEASE_SECONDS:
        state = "running"
    else:
        state = "died" if progress.get("phase") == "died" else "waiting"
    return TrialFacts(int(folder.name), state, trial.get("cell", {}), trial.get("params", {}), progress, record)


def _held(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:  # not a FileLock, which would have to write: the folder may be another user's
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _identity(spec: SweepSpec) -> Json:
    return spec.model_dump(mode="json", exclude={*NEUTRAL, "name"})


def _flat(tree: Any, above: str = "") -> Json:
    if not isinstance(tree, dict) or not tree:
        return {above: tree}
    return {k: v for key, value in tree.items() for k, v in _flat(value, f"{above}.{key}" if above else key).items()}
