"""Prepare a launch of a sweep: the command's arguments in, all that `execute` needs or one InputError out.

Nothing is written. What is found here is handed on: the sweep file is parsed once, each cell planned once, each trial
of the results folder read once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ofb_ray.config import Json, SweepSpec
from ofb_ray.config.load import KeyOrigins, load_with_origins, trial_error
from ofb_ray.errors import InputError
from ofb_ray.results.files import SWEEP_FILE
from ofb_ray.results.folder import Versions, check_same_sweep, results_folder, results_uri, versions
from ofb_ray.results.index import TrialIndex
from ofb_ray.results.store import readable
from ofb_ray.tuning.console.steps import Step, silent
from ofb_ray.tuning.ray.ahead import Ahead
from ofb_ray.tuning.ray.resources import Machine, this_machine
from ofb_ray.tuning.trackers import check_installed

if TYPE_CHECKING:
    from ofb_ray.trial.plan import Plan

RUN_TRIAL = "ofb_ray.trial:run_trial"
# What a sampler needs at least to tell one explored parameter from chance; also what importances ask for.
TRIALS_A_PARAMETER = 8


@dataclass(frozen=True)
class Results:
    """Where the results of a sweep are.

    Args:
        uri: of the store that holds them; None for a folder.
        folder: the driver's; where `uri` is given, the copy on this machine that it works in.
        readable: the folder to read before the driver's lock is held: the same, or another copy of the store.
    """

    uri: str | None
    folder: Path
    readable: Path

    @property
    def location(self) -> str:
        """Folder or URI, as the user knows it."""
        return self.uri or str(self.folder)


@dataclass(frozen=True)
class Launch:
    """All that a launch of a sweep needs.

    Args:
        spec: the sweep.
        origins: where its keys come from, for bad input that shows only while it runs.
        plans: of each cell, in the order of `spec.cells`.
        results: where the results are.
        index: the trials that there are, as `results.readable` had them.
        versions: of their files, to see whether another driver has been at work since.
        address: of a running Ray cluster; None starts Ray on this machine.
        machine: this machine, where the trials run on it and fit.
        function: the trial function as `package.module:name`, with the signature of `run_trial`.
        retry: run failed trials again.
        missing: what this machine lacks, a line each; only a dry run may lack anything.
        ahead: Ray on this machine, which starts while the plans are made; `close` ends it.
    """

    spec: SweepSpec
    origins: KeyOrigins
    plans: tuple[Plan, ...]
    results: Results
    index: TrialIndex
    versions: Versions
    address: str | None = None
    machine: Machine | None = None
    function: str = RUN_TRIAL
    retry: bool = False
    missing: tuple[str, ...] = ()
    ahead: Ahead | None = None

    def close(self) -> None:
        """End Ray, where it was started."""
        if self.ahead is not None:
            self.ahead.end()

    @property
    def notes(self) -> list[str]:
        """What the user should know of the plans, a line each."""
        told = (text for plan in self.plans for text in (plan.note, plan.warning) if text)
        return [*unexplored(self.spec), *dict.fromkeys(told)]

    @property
    def complete(self) -> bool:
        """Whether there is nothing to run."""
        return self.index.done == self.index.total and not self.retry


def prepare(
    file: str | Path,
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    storage: str | None = None,
    address: str | None = None,
    function: str = RUN_TRIAL,
    resume: bool = False,
    extend: bool = False,
    retry_failed: bool = False,
    dry: bool = False,
    start_ray: bool = False,
    step: Step = silent,
) -> Launch:
    """Prepare a launch of the sweep in a file.

    Args:
        file: a YAML file, or the name of a shipped sweep.
        overrides: `a.b=value` each, put in from left to right.
        name: another name than the file's, hence another results folder.
        storage: another storage than the file's, a folder or a URI.
        address: of a running Ray cluster; None starts Ray on this machine.
        function: the trial function as `package.module:name`, with the signature of `run_trial`.
        resume: insist that the sweep has been started before.
        extend: let the sweep have more budgets or seeds than it had.
        retry_failed: run failed trials again.
        dry: list what this machine lacks instead of refusing it.
        start_ray: on this machine, as soon as there is something to run on it; who does not execute the launch has to
            close it.
        step: says what takes its time.
    Raises:
        InputError: anything is wrong that can be known before a trial runs. Nothing is created.
    """
    spec, origins = load_with_origins(file, overrides, name, storage)
    with contextlib.ExitStack() as undo, origins.located():
        results = _find_results(spec)
        check_same_sweep(results.readable, spec, extend, results.uri)
        for flag, given in (("resume", resume), ("extend", extend)):
            if given and not (results.readable / SWEEP_FILE).exists():
                raise InputError(f"there is no {results.location} to {flag}: leave --{flag} out", key=f"--{flag}")
        _check_search(spec, results.readable)
        before = versions(results.readable, results.uri)
        index = TrialIndex.read(results.readable, spec, results.uri)
        machine, lacking = _find_machine(spec, address)
        if lacking and not dry and spec.data.download:  # planning would fetch what nothing here can train on
            raise lacking
        retry = retry_failed and bool(index.failed())
        ahead, left = None, retry or index.done < index.total
        if start_ray and machine is not None and left and not dry:
            ahead = Ahead(machine)
            undo.callback(ahead.end, wait=True)
        with step("loading torch and timm" + " while Ray starts" * (ahead is not None)):
            import ofb_ray.trial.plan  # noqa: F401  # what takes seconds of planning the first network
        several = f"{len(spec.cells)} networks" if len(spec.cells) > 1 else "the network"
        with step(f"planning {several}"):
            plans = plan_cells(spec, origins, spec.cells, dry=dry)
        if lacking and not dry:
            raise lacking
        missing = [f"resources: {lacking.message}"] if lacking else []
        launch = Launch(
            spec=spec,
            origins=origins,
            plans=plans,
            results=results,
            index=index,
            versions=before,
            address=address,
            machine=machine,
            function=function,
            retry=retry,
            missing=(*dict.fromkeys(line for plan in plans for line in plan.missing), *missing),
            ahead=ahead,
        )
        if not dry and not launch.complete:
            check_installed(spec)
        undo.pop_all()  # whoever executes the launch ends Ray
    return launch


def unexplored(spec: SweepSpec) -> list[str]:
    """Say that `parameters` alone explore nothing: without `trials` each cell has one, with the file's own values."""
    if not spec.parameters or spec.trials is not None or spec.sampler.name == "grid":
        return []
    most = max(spec.wanted(cell) for cell in spec.cells)
    if most > 1:
        return []
    wanted = TRIALS_A_PARAMETER * len(spec.parameters)
    why = "each budget has 1 trial, with the file's own values"
    return [f"`parameters` are not explored: {why}; set `trials: {wanted}`"]


def plan_cells(spec: SweepSpec, origins: KeyOrigins, cells: Iterable[Json], *, dry: bool = False) -> tuple[Plan, ...]:
    """Plan the first trial of each of a sweep's cells.

    Args:
        origins: where its keys come from.
        dry: list what this machine lacks in the plans instead of refusing it.
    Raises:
        InputError: a trial cannot be run; names the key of the sweep file that is to blame.
    """
    from ofb_ray.trial.plan import plan

    plans = []
    for cell in cells:
        try:
            plans.append(plan(spec.trial(cell, {}), dry=dry))
        except InputError as error:
            raise trial_error(error, origins, spec.budgets.index(cell["budget"])) from None
    return tuple(plans)


def _find_results(spec: SweepSpec) -> Results:
    uri, folder = results_uri(spec), results_folder(spec)
    return Results(uri, folder, readable(uri) if uri else folder)


def _check_search(spec: SweepSpec, results: Path) -> None:
    """Check what only Optuna or other results folders can tell to be wrong; most sweeps need neither here.

    Raises:
        InputError: an option of the sampler, or a folder to start warm from.
    """
    if spec.sampler.options:
        from ofb_ray.tuning.optuna.samplers import check_sampler

        check_sampler(spec)
    if spec.warm_start:
        from ofb_ray.tuning.optuna.warm_start import warm_folders

        warm_folders(spec, results)


def _find_machine(spec: SweepSpec, address: str | None) -> tuple[Machine | None, InputError | None]:
    """Look at this machine where the trials run on it, or say what it lacks."""
    if address is not None:
        return None, None
    try:
        return this_machine(spec), None
    except InputError as error:
        return None, error
