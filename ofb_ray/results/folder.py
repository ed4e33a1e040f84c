"""Find a sweep's results folder, check that it is this sweep's, and lock it for the one process that drives it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from ofb_ray.config import Json, SweepSpec, yaml12
from ofb_ray.errors import InputError
from ofb_ray.inputs import SWEEP_BYTES, read_text, user_path
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.files import (
    DRIVER_LEASE,
    DRIVER_LOCK,
    INDEX_FILE,
    PREVIEW_FOLDER,
    RECORD_FILE,
    SHARED_FOLDER,
    SWEEP_FILE,
    TRIAL_FILE,
    trial_folders,
)
from ofb_ray.results.locations import is_uri, join, local_copy
from ofb_ray.results.store import read_store_index

# What may change between two launches of one sweep: it decides no trial's numbers, nor which trial has which number.
NEUTRAL = ("question", "trials", "warm_start", "resources", "failure", "storage", "loggers", "promote")
GROWING = ("budgets", "seeds")  # lists that may grow by --extend
# What may lie there before a sweep begins: the lock of a driver that was killed while it waited for Ray, a preview, and
# the dense network and calibration that the preview has made.
EARLY = {DRIVER_LOCK, DRIVER_LEASE, INDEX_FILE, PREVIEW_FOLDER, SHARED_FOLDER}
Versions = dict[str, tuple[float | str, ...]]


def results_uri(spec: SweepSpec) -> str | None:
    """Return the URI of the sweep's results, or None where they are a folder."""
    return join(spec.storage, spec.name) if is_uri(spec.storage) else None


def results_folder(spec: SweepSpec) -> Path:
    """Return the absolute path of the sweep's results folder; for a URI that of its local copy."""
    uri = results_uri(spec)
    return local_copy(uri) if uri else user_path(spec.storage, "storage").resolve() / spec.name


def check_same_sweep(results: Path, spec: SweepSpec, extend: bool = False, uri: str | None = None) -> None:
    """Check that a results folder, where it exists, holds this very sweep, up to what is `NEUTRAL`.

    Args:
        results: the results folder.
        spec: the sweep.
        extend: it may also hold the sweep with fewer of its budgets and seeds.
        uri: of which `results` is the local copy, if any.

    Raises:
        InputError: it holds another sweep, or something else.
    """
    where = uri or str(results)
    if results.exists() and not results.is_dir():
        raise InputError("is a file: give another --storage or --name", file=where)
    if not results.exists() or {path.name for path in results.iterdir()} <= EARLY:
        return
    before, now = (_identity(sweep) for sweep in (read_sweep(results, uri), spec))
    for key in GROWING:
        if before[key] != now[key] and all(value in now[key] for value in before[key]):
            if not extend:
                raise InputError(f"the sweep in {where} has others: add --extend to extend it, or --name", key=key)
            if key == "budgets" and spec.chain is not None and now[key][: len(before[key])] != before[key]:
                last = read_sweep(results, uri).budgets[-1].label
                raise InputError(f"the chain in {where} goes on from its end: new budgets come after {last}", key=key)
            before[key] = now[key]
    old, new = _flat(before), _flat(now)
    for key in [*new, *(key for key in old if key not in new)]:
        if old.get(key) != new.get(key):
            had, has = (each.get(key, "nothing there") for each in (old, new))
            remedy = "give another --name"
            if key.startswith("parameters"):
                remedy += f", with `warm_start: [{where}]` to learn from its trials"
            raise InputError(f"the sweep in {where} has {had!r}, this one {has!r}: {remedy}", key=key)


def versions(results: Path, uri: str | None = None) -> Versions:
    """Tell the versions of the files that say which trials there are and how they ended.

    Equal answers mean equal trials, also of two copies of one store: nobody has been at work in between.

    Args:
        results: the results folder; it need not exist.
        uri: of which it is the local copy, fetched just now, if any.
    """
    if uri:
        stored = read_store_index(results).items()
        return {name: tuple(entry) for name, entry in stored if name.endswith((f"/{TRIAL_FILE}", f"/{RECORD_FILE}"))}
    found: Versions = {}
    for folder in trial_folders(results) if results.exists() else []:
        found[folder.name] = ()
        for name in (TRIAL_FILE, RECORD_FILE):
            with contextlib.suppress(FileNotFoundError):
                stat = (folder / name).stat()
                found[f"{folder.name}/{name}"] = (stat.st_size, stat.st_mtime_ns)
    return found


def read_sweep(results: Path, uri: str | None = None) -> SweepSpec:
    """Read the resolved sweep of a results folder.

    Args:
        results: the results folder.
        uri: of which it is the local copy, if any.

    Raises:
        InputError: the folder is no results folder.
    """
    path = results / SWEEP_FILE
    if uri is None and not results.exists():
        remedy = "`ofb-ray sweep` starts a sweep, in <storage>/<sweep name>"
        raise InputError(f"there is no such folder, so nothing has run there: {remedy}", file=str(results))
    if not path.exists() or path.is_dir():
        raise InputError(
            f"no results folder (it has no {SWEEP_FILE}): give <storage>/<sweep name>", file=uri or str(results)
        )
    name = f"{uri.rstrip('/')}/{SWEEP_FILE}" if uri else str(path)
    text = read_text(path, SWEEP_BYTES, "restore it", name)
    try:
        return SweepSpec.model_validate(yaml12.load(text, name)[0])
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"{problem['msg']}; written by another version?", file=name, key=key) from None


def write_sweep(results: Path, spec: SweepSpec) -> None:
    """Write the resolved sweep."""
    text = yaml12.dump(spec.model_dump(mode="json"))
    write_atomic(results / SWEEP_FILE, text.encode())


def driver_lock(results: Path) -> FileLock:
    """Acquire the lock of the one process that drives the sweep; the system frees it when that process dies.

    Raises:
        InputError: another process has it.
    """
    lock = FileLock(results / DRIVER_LOCK)
    try:
        lock.acquire(timeout=0.2)  # `ofb-ray status` tries it, too, for a moment
    except Timeout:
        raise InputError(
            f"another process drives the sweep in {results}: wait for it (`ofb-ray status {results}`), or give --name"
        ) from None
    return lock


def _identity(spec: SweepSpec) -> Json:
    return spec.model_dump(mode="json", exclude={*NEUTRAL, "name"})


def _flat(tree: Any, above: str = "") -> Json:
    if not isinstance(tree, dict) or not tree:
        return {above: tree}
    return {k: v for key, value in tree.items() for k, v in _flat(value, f"{above}.{key}" if above else key).items()}
