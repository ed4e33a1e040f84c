"""One launch of a sweep: a fresh Ray Tune run over whatever its results folder still lacks."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from ray import tune

from ofb_ray.config import SweepSpec
from ofb_ray.errors import InputError
from ofb_ray.results import folder as results_of
from ofb_ray.results.driver import SweepResults, drive
from ofb_ray.results.files import TrialFile, trial_name
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
from ofb_ray.tuning.ray.callback import Events
from ofb_ray.tuning.ray.job import Job, number_in
from ofb_ray.tuning.ray.resources import local_slots
from ofb_ray.tuning.ray.searcher import StudySearcher
from ofb_ray.tuning.ray.session import session
from ofb_ray.tuning.ray.stopper import Stopper
from ofb_ray.tuning.ray.trainable import trainable
from ofb_ray.tuning.ray.workers import placement
from ofb_ray.tuning.trackers import Trackers, check_installed

RUN_TRIAL = "ofb_ray.trial:run_trial"


def launch(
    results: Path,
    spec: SweepSpec,
    *,
    address: str | None = None,
    function: str = RUN_TRIAL,
    uri: str | None = None,
    retry: bool = False,
) -> bool:
    """Run the trials of the sweep that have no record yet. False: it was interrupted, and has said why.

    Args:
        results: the results folder, made if it is missing; checked by the caller to be this sweep's.
        spec: the sweep.
        address: of a Ray cluster that sees the results; None starts Ray on this machine.
        function: `module:name` of the trial function, with run_trial's signature.
        uri: of the results, where `results` is only their local copy.
        retry: run failed trials again.

    Raises:
        InputError: more CPUs or GPUs asked than there are, or another driver at work. Nothing is created.
    """
    check_installed(spec)
    if address is None:
        local_slots(spec)
    here = os.getcwd()  # asked now: joining a cluster inside a job may remove the job's folder
    with drive(results, uri) as held, session(spec, address) as slots:
        try:
            check_owner(results, spec)
            results_of.write_sweep(results, spec)
            if retry:
                print(f"trying again: trials {', '.join(map(str, retry_failed(held)))}", flush=True)
            index = TrialIndex.read(results, spec, uri)
            suggestions = Suggestions.open(index)
            for note in suggestions.notes:
                print(note, flush=True)
        except OSError as error:
            trouble = disk_trouble(error, results) or f"cannot write to {results}: {error.strerror}"
            raise InputError(trouble, key="storage") from None
        if index.done:
            print(f"resuming: {index.done} of {index.total} finished", flush=True)
        if not _run_all(held, index, suggestions, slots, function, here):
            return False
        return spec.promote is None or _promote(held, index, slots, function, here)


def _promote(results: SweepResults, index: TrialIndex, slots: int, function: str, here: str) -> bool:
    promotions = Promotions(index)
    if promotions.left:
        print(f"promoting: {promotions.left} trials go on to the long fine-tune", flush=True)
        if not _run_all(results, index, promotions, slots, function, here):
            return False
    promotions.remove_searches()
    return True


def _run_all(
    results: SweepResults, index: TrialIndex, source: TrialSource, slots: int, function: str, here: str
) -> bool:
    """Run what is left, and again what Ray gave up too early. False: it was interrupted.

    Each round costs a trial one more death, so there are no more rounds than attempts.
    """
    retries = source.spec.failure.retries
    for turn in range(retries + 1):
        if not source.left:
            break
        given_up = _run(results, index, source, slots, function, here, last=turn == retries)
        if given_up is None:
            return False
        if not given_up:
            break
        print(f"going on with what Ray gave up: trials {', '.join(map(str, sorted(given_up)))}", flush=True)
        source.reissue(given_up)
    return True


def _run(
    results: SweepResults, index: TrialIndex, source: TrialSource, slots: int, function: str, here: str, last: bool
) -> set[int] | None:
    """One run of Ray Tune; the trials that it gave up too early, or None where it was interrupted."""
    spec = source.spec
    stop = Stop()
    shown = Display(spec, index.facts, index.total)
    with (
        shown as display,
        Trackers(index, display.note) as trackers,
        tempfile.TemporaryDirectory(prefix="ofb_ray-") as scratch,
        stop,
    ):
        results.note = display.note
        events = Events(index, display, trackers)
        outcomes = Outcomes(results, source, stop, events, last)
        asked = spec.resources

        def job(trial: TrialFile) -> Job:
            return Job(
                trial=trial,
                results=results.folder,
                uri=results.uri,
                function=function,
                here=here,
                workers=asked.workers,
                cpus=asked.cpus_per_worker,
                gpus=asked.gpus_per_worker,
                silent_minutes=spec.failure.silent_minutes,
                keep_search=spec.promote is not None,
                gate=spec.scheduler.gate,
            )

        tuner = tune.Tuner(
            tune.with_resources(trainable, placement(asked)),
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(source, job, results, stop, outcomes.close),
                num_samples=source.left,
                max_concurrent_trials=slots,
                # A new process costs 2 s; on a GPU it is worth it, because the old one keeps its CUDA context.
                reuse_actors=asked.gpus == 0 and asked.workers == 1,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=time.strftime("%Y%m%d-%H%M%S"),
                storage_path=scratch,  # Ray's own state, which nobody reads: a full disk must not hurt it
                callbacks=[events],
                stop=Stopper(stop),
                failure_config=tune.FailureConfig(max_failures=spec.failure.retries),
                verbose=0,
            ),
        )
        tuner.fit()
    results.send_logs()
    if stop.reason:
        print(f"stopped: {stop.reason}", flush=True)
    return None if stop.is_set() else outcomes.given_up


def _trial_name(trial: Any) -> str:
    return trial_name(number_in(trial.config))
