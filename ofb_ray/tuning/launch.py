"""One launch of a sweep: a fresh Ray Tune run over whatever its results folder still lacks."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune

from ofb_ray.config import SweepSpec
from ofb_ray.errors import InputError
from ofb_ray.results import folder as results_of
from ofb_ray.results.driver import Place, driving
from ofb_ray.results.files import TrialFile, trial_name
from ofb_ray.tuning.console.live import Display
from ofb_ray.tuning.lifecycle.failures import disk_trouble
from ofb_ray.tuning.lifecycle.outcome import Outcomes
from ofb_ray.tuning.lifecycle.promote import Promotions, sweep_total
from ofb_ray.tuning.lifecycle.retry import retry_failed
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
    with driving(results, uri) as place, session(spec, address) as slots:
        try:
            check_owner(results, spec)
            results_of.write_sweep(results, spec)
            if retry:
                print(f"trying again: trials {', '.join(map(str, retry_failed(place)))}", flush=True)
            suggestions = Suggestions(results, spec)
            for note in suggestions.notes:
                print(note, flush=True)
        except OSError as error:
            trouble = disk_trouble(error, results) or f"cannot write to {results}: {error.strerror}"
            raise InputError(trouble, key="storage") from None
        total = sweep_total(spec, results)
        if done := results_of.count_records(results, total):
            print(f"resuming: {done} of {total} finished", flush=True)
        if not _run_all(place, suggestions, lambda: Suggestions(results, spec), slots, function, here):
            return False
        return spec.promote is None or _promote(place, spec, slots, function, here)


def _promote(place: Place, spec: SweepSpec, slots: int, function: str, here: str) -> bool:
    promotions = Promotions(place.results, spec)
    if promotions.left:
        print(f"promoting: {promotions.left} trials go on to the long fine-tune", flush=True)
        if not _run_all(place, promotions, lambda: Promotions(place.results, spec), slots, function, here):
            return False
    promotions.close()
    return True


def _run_all(
    place: Place,
    first: Suggestions | Promotions,
    fresh: Callable[[], Suggestions | Promotions],
    slots: int,
    function: str,
    here: str,
) -> bool:
    """Run what is left, and again what Ray gave up too early. False: it was interrupted.

    Each round costs a trial one more death, so there are no more rounds than attempts.
    """
    suggestions = first
    retries = first.spec.failure.retries
    for turn in range(retries + 1):
        if not suggestions.left:
            break
        given_up = _run(place, suggestions, slots, function, here, last=turn == retries)
        if given_up is None:
            return False
        if not given_up:
            break
        print(f"going on with what Ray gave up: trials {', '.join(map(str, sorted(given_up)))}", flush=True)
        suggestions = fresh()
    return True


def _run(
    place: Place, suggestions: Suggestions | Promotions, slots: int, function: str, here: str, last: bool
) -> set[int] | None:
    """One run of Ray Tune; the trials that it gave up too early, or None where it was interrupted."""
    results, spec = place.results, suggestions.spec
    stop = Stop()
    shown = Display(spec, results_of.read_facts(results), sweep_total(spec, results))
    with (
        shown as display,
        Trackers(results, spec, display.note) as trackers,
        tempfile.TemporaryDirectory(prefix="ofb_ray-") as scratch,
        stop,
    ):
        place.note = display.note
        events = Events(results, display, trackers)
        outcomes = Outcomes(place, spec, suggestions, stop, events, last)
        asked = spec.resources

        def job(trial: TrialFile) -> Job:
            events.handed_out(trial)
            return Job(
                trial=trial,
                results=results,
                uri=place.uri,
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
                search_alg=StudySearcher(suggestions, job, place, stop, outcomes.close),
                num_samples=suggestions.left,
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
    place.finish()
    if stop.reason:
        print(f"stopped: {stop.reason}", flush=True)
    return None if stop.is_set() else outcomes.given_up


def _trial_name(trial: Any) -> str:
    return trial_name(number_in(trial.config))
