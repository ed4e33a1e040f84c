"""Print `ofb-ray status` in the states that a sweep can be in, of results folders that are made up for it."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from ofb_ray.config import SweepSpec
from ofb_ray.errors import InputError
from ofb_ray.results import folder as results_of
from ofb_ray.results.cells import plain_cell
from ofb_ray.results.driving import read_driver
from ofb_ray.results.files import (
    DRIVER_LEASE,
    DRIVER_LOCK,
    LOG_FILE,
    TRIAL_FILE,
    TRIAL_LOCK,
    LeaseFile,
    Progress,
    TrialFile,
    trial_folder,
)
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.records import BudgetOutcome, Network, Record, write_record
from ofb_ray.tuning.console.status import status_text

NOW = 1_790_000_000.0
_HOURS = 3600.0
_PLACE = "results/photos"
_COMMAND = "ofb-ray sweep /home/me/photos.yaml --storage /home/me/results --name photos --resume"
_SWEEP: dict[str, Any] = {
    "name": "photos",
    "question": "How small may the network be?",
    "budgets": [0.5, 0.25],
    "trials": 2,
    "parameters": {"search.lr": {"min": 1e-4, "max": 1e-2, "log": True}},
    "storage": "results",
}


class Sweep:
    """A results folder that is being made up.

    Args:
        folder: where.
        changes: keys of the sweep.
    """

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.locks = folder, contextlib.ExitStack()
        self.uri: str | None = None
        self.spec = SweepSpec.model_validate({**_SWEEP, **changes})
        folder.mkdir(parents=True)
        results_of.write_sweep(folder, self.spec)

    def driver(self, host: str, *, running: bool, ended: bool = False) -> None:
        """Let a driver have begun two hours ago on a host."""
        began = NOW - 2 * _HOURS
        file = LeaseFile(id="" if ended else "a", host=host, pid=4711, since=began, time=NOW - 900, command=_COMMAND)
        (self.folder / DRIVER_LEASE).write_text(file.model_dump_json())
        if running:
            self.locks.enter_context(FileLock(self.folder / DRIVER_LOCK))

    def trial(self, number: int, **links: int) -> Path:
        """Issue a trial an hour ago."""
        cell = self.spec.cells[number % len(self.spec.cells)]
        spec = self.spec.trial(cell, {"search.lr": 0.001 * (number + 1)})
        place = trial_folder(self.folder, number)
        label, params = cell["budget"].label, {"search.lr": 0.001 * (number + 1)}
        trial = TrialFile(
            trial=number,
            key=spec.key,
            cell=plain_cell(cell),
            label=label,
            params=params,
            spec=spec.model_dump(mode="json"),
            **links,
        )
        trial.write(place)
        os.utime(place / TRIAL_FILE, (NOW - _HOURS, NOW - _HOURS))
        return place

    def runs(self, number: int, phase: str, epoch: int, share: float, ago: float = 20.0, **links: int) -> Path:
        """Let a trial run, with its last report `ago` seconds ago."""
        place = self.trial(number, **links)
        longer = self.spec.promote if "promotes" in links else None
        epochs = longer.epochs if longer else getattr(self.spec, phase).epochs
        Progress(phase=phase, epoch=epoch, epochs=epochs, progress=share, time=NOW - ago).write(place)
        self.locks.enter_context(FileLock(place / TRIAL_LOCK))
        return place

    def finished(self, number: int, top1: float, **links: int) -> None:
        """Let a trial have finished."""
        self._ended(self.trial(number, **links), number, "finished", top1)

    def failed(self, number: int, reason: str, log: str) -> None:
        """Let a trial have failed."""
        place = self.trial(number)
        (place / LOG_FILE).write_text(f"epoch 3 of 30: loss 2.31\n{log}\n")
        self._ended(place, number, "failed", None, reason)

    def _ended(self, place: Path, number: int, status: Any, top1: float | None, reason: str = "") -> None:
        spec = self.spec.trial(self.spec.cells[number % len(self.spec.cells)], {})
        target = spec.budget.target(4_000_000, 300_000)
        net = Network(macs=target, params=100_000, top1_val=top1) if top1 is not None else None
        budget = BudgetOutcome(label=spec.budget.label, resource="macs", target=target, used=1.0, minimum=1000)
        write_record(
            place,
            Record(
                trial=number,
                sweep=self.spec.name,
                key=spec.key,
                status=status,
                spec=spec.model_dump(mode="json"),
                seed=0,
                budget=budget,
                dense=Network(macs=4_000_000, params=300_000, top1_val=91.0),
                subnet=net,
                seconds={"search": 1500.0, "finetune": 900.0},
                reason=reason,
            ),
        )


def _running_here(sweep: Sweep) -> None:
    sweep.driver(socket.gethostname(), running=True)
    sweep.finished(0, 89.4)
    sweep.runs(1, "search", 12, 0.52)
    sweep.runs(2, "finetune", 3, 0.81, ago=400.0)
    (trial_folder(sweep.folder, 2) / LOG_FILE).write_text("epoch 3 of 20: loss 0.41, top-1 val 88.1 %\n")


def _running_elsewhere(sweep: Sweep) -> None:
    sweep.driver("node-7", running=True)
    sweep.runs(0, "search", 3, 0.41)


def _killed(sweep: Sweep) -> None:
    sweep.driver(socket.gethostname(), running=False)
    sweep.finished(0, 89.4)
    Progress(phase="search", epoch=12, epochs=30, progress=0.52, time=NOW - 900).write(sweep.trial(1))


def _finished(sweep: Sweep) -> None:
    sweep.driver(socket.gethostname(), running=False, ended=True)
    for number, top1 in enumerate((89.4, 84.2, 90.1, 85.0)):
        sweep.finished(number, top1)


def _failed(sweep: Sweep) -> None:
    sweep.driver(socket.gethostname(), running=False, ended=True)
    sweep.finished(0, 89.4)
    sweep.failed(1, "the loss became NaN in epoch 4: lower search.lr", "FloatingPointError: the loss became NaN")
    sweep.finished(2, 90.1)


def _waits_for_a_store(sweep: Sweep) -> None:
    sweep.uri = "s3://bucket/photos"
    sweep.driver("node-7", running=False)
    place = sweep.trial(0)
    Progress(phase="search", epoch=3, epochs=30, progress=0.41, time=NOW - 900).write(place)


def _chain(sweep: Sweep) -> None:
    sweep.driver(socket.gethostname(), running=True)
    sweep.finished(0, 89.4)
    sweep.runs(1, "search", 2, 0.2, follows=0)


def _promotion(sweep: Sweep) -> None:
    sweep.driver(socket.gethostname(), running=True)
    for number, top1 in enumerate((89.4, 84.2, 90.1, 85.0)):
        sweep.finished(number, top1)
    sweep.runs(4, "finetune", 25, 0.5, promotes=2)


# What is told of each state, what makes it, and keys of its sweep; None: there is no results folder of a sweep.
STATES: dict[str, tuple[Callable[[Sweep], None] | None, dict[str, Any]]] = {
    "Never started": (None, {}),
    "Running here": (_running_here, {}),
    "Running elsewhere": (_running_elsewhere, {}),
    "Killed": (_killed, {}),
    "Finished": (_finished, {}),
    "Failed": (_failed, {}),
    "Waiting for a store": (_waits_for_a_store, {}),
    "A chain": (_chain, {"chain": {"epochs": 5}}),
    "Promotion": (_promotion, {"promote": {"best": 1, "epochs": 50}}),
    "Another folder": (None, {}),
}


def said(state: str, width: int = 80) -> str:
    """What `ofb-ray status` prints in a state, as on a machine that is called `this machine`."""
    make, changes = STATES[state]
    with tempfile.TemporaryDirectory() as parent:
        place = Path(parent) / _PLACE
        if make is None:
            if state == "Another folder":
                (place / "pictures").mkdir(parents=True)
            return _refusal(place, parent)
        sweep = Sweep(place, **changes)
        with sweep.locks:
            make(sweep)
            index = TrialIndex.read(place, sweep.spec)
            driver = read_driver(place, sweep.uri, NOW)
            return status_text(index, driver, sweep.uri or str(place), width, NOW).replace(f"{parent}/", "")


def _refusal(place: Path, parent: str) -> str:
    try:
        results_of.read_sweep(place)
    except InputError as error:
        return f"ofb-ray: {error}".replace(f"{parent}/", "")
    raise ValueError(f"{place} is a results folder")


def sections() -> Iterator[str]:
    """A section of the page for each state."""
    for state in STATES:
        yield f"## {state}\n\n```text\n{said(state)}\n```\n"


def page() -> str:
    """All sections."""
    return "\n".join(sections())
