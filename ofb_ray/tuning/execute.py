"""Execute a launch of a sweep: a fresh Ray Tune run over whatever its results folder still lacks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ofb_ray.errors import InputError
from ofb_ray.results.driver import SweepResults, drive
from ofb_ray.results.facts import TrialFacts
from ofb_ray.results.files import TrialFile
from ofb_ray.results.folder import versions, write_sweep
from ofb_ray.results.index import TrialIndex
from ofb_ray.tuning.console.live import Display
from ofb_ray.tuning.lifecycle.failures import disk_trouble
from ofb_ray.tuning.lifecycle.outcome import Outcomes
from ofb_ray.tuning.lifecycle.promote import Promotions
from ofb_ray.tuning.lifecycle.retry import retry_failed
from ofb_ray.tuning.lifecycle.source import TrialSource
from ofb_ray.tuning.lifecycle.stop import Stop
from ofb_ray.tuning.optuna.journal import check_owner
from ofb_ray.tuning.optuna.study import Suggestions
from ofb_ray.tuning.prepare import Launch
from ofb_ray.tuning.ray.callback import Events
from ofb_ray.tuning.ray.job import Job
from ofb_ray.tuning.ray.searcher import StudySearcher
from ofb_ray.tuning.ray.session import session
from ofb_ray.tuning.ray.tuner import run_tune
from ofb_ray.tuning.trackers import Trackers


@dataclass(frozen=True)
class Executed:
    """How a launch ended.

    Args:
        interrupted: by a signal or by trouble that the user has been told of: there are trials left.
        facts: all trials of the sweep as they are now.
    """

    interrupted: bool
    facts: Sequence[TrialFacts]


def execute(launch: Launch, command: str = "") -> Executed:
    """Run the trials of a sweep that have no record yet.

    Args:
        launch: what to run.
        command: what continues the sweep, for `ofb-ray status`.

    Raises:
        InputError: another driver is at work, nothing can be written, or the Ray cluster cannot be joined. What this
            launch created is removed again.
    """
    here = os.getcwd()  # asked now: joining a cluster inside a job may remove the job's folder
    results = launch.results
    with (
        contextlib.closing(launch),
        launch.origins.located(),
        drive(results.folder, results.uri, command) as held,
        session(launch.spec, launch.address, launch.machine, launch.ahead) as slots,
    ):
        index = current_index(launch)
        rounds = Rounds(held, index, slots, _jobs(launch, here))
        suggestions = _open(launch, held, index, slots)
        if index.done:
            print(f"resuming: {index.done} of {index.total} finished", flush=True)
        finished = rounds.run_all(suggestions) and (launch.spec.promote is None or rounds.promote())
        return Executed(not finished, index.facts)


def current_index(launch: Launch) -> TrialIndex:
    """Take over the trials that were read before the lock was held, unless another driver has been at work since."""
    results, found = launch.results, launch.index
    if versions(results.folder, results.uri) != launch.versions:
        return TrialIndex.read(results.folder, launch.spec, results.uri)
    return found if found.results == results.folder else TrialIndex(results.folder, launch.spec, found.facts)


def _open(launch: Launch, held: SweepResults, index: TrialIndex, slots: int) -> Suggestions:
    """Write the sweep's own files, reopen failed trials, and open the study.

    Raises:
        InputError: the study is another sweep's, or nothing can be written.
    """
    try:
        check_owner(held.folder, launch.spec)
        write_sweep(held.folder, launch.spec)
        if launch.retry:
            print(f"trying again: trials {', '.join(map(str, retry_failed(held, index)))}", flush=True)
        suggestions = Suggestions.open(index, slots)
    except OSError as error:
        trouble = disk_trouble(error, held.folder) or f"cannot write to {held.folder}: {error.strerror}"
        raise InputError(trouble, key="storage") from None
    for note in suggestions.notes:
        print(note, flush=True)
    return suggestions


def _jobs(launch: Launch, here: str) -> Callable[[TrialFile], Job]:
    """Return what makes the job of a trial."""
    spec, asked = launch.spec, launch.spec.resources

    def job(trial: TrialFile) -> Job:
        return Job(
            trial=trial,
            results=launch.results.folder,
            uri=launch.results.uri,
            function=launch.function,
            here=here,
            workers=asked.workers,
            cpus=asked.cpus_per_worker,
            gpus=asked.gpus_per_worker,
            silent_minutes=spec.failure.silent_minutes,
            keep_search=spec.promote is not None or spec.chain is not None,
            gate=spec.scheduler.gate,
        )

    return job


@dataclass(frozen=True)
class Rounds:
    """Run Ray Tune until nothing is left.

    Args:
        results: which this process drives.
        index: the sweep's trials.
        slots: trials at a time.
        job: makes the job of a trial.
    """

    results: SweepResults
    index: TrialIndex
    slots: int
    job: Callable[[TrialFile], Job]

    def promote(self) -> bool:
        """Run the trials that are promoted. False: it was interrupted."""
        promotions = Promotions(self.index)
        if promotions.left:
            print(f"promoting: {promotions.left} trials go on to the long fine-tune", flush=True)
            if not self.run_all(promotions):
                return False
        promotions.remove_searches()
        return True

    def run_all(self, source: TrialSource) -> bool:
        """Run what is left, and again what Ray gave up too early. False: it was interrupted.

        Each round costs a trial one more death, so there are no more rounds than attempts.
        """
        retries = source.spec.failure.retries
        for turn in range(retries + 1):
            if not source.left:
                break
            given_up = self.run(source, last=turn == retries)
            if given_up is None:
                return False
            if not given_up:
                break
            print(f"going on with what Ray gave up: trials {', '.join(map(str, sorted(given_up)))}", flush=True)
            source.reissue(given_up)
        return True

    def run(self, source: TrialSource, last: bool) -> set[int] | None:
        """Run Ray Tune once.

        Args:
            last: what it gives up too early has failed.
        Returns:
            The trials that it gave up too early, or None where it was interrupted.
        """
        spec, stop = source.spec, Stop()
        with (
            Display(spec, self.index.facts, self.index.total) as display,
            Trackers(self.index, display.note) as trackers,
            stop,
        ):
            self.results.note = display.note
            events = Events(self.index, display, trackers, source.searched)
            outcomes = Outcomes(self.results, source, stop, events, last)
            searcher = StudySearcher(source, self.job, self.results, stop, outcomes.close)
            run_tune(spec, searcher, events, stop, source.left, self.slots)
        self.results.send_logs()
        if stop.reason:
            print(f"stopped: {stop.reason}", flush=True)
        return None if stop.is_set() else outcomes.given_up
