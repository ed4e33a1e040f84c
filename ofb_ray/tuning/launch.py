"""One launch of a sweep: a fresh Ray Tune run over whatever its results folder still lacks."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from ray import tune

from ofb_ray.errors import InputError
from ofb_ray.spec import Json, SweepSpec
from ofb_ray.tuning import folder as results_of
from ofb_ray.tuning.display import Display
from ofb_ray.tuning.events import Events
from ofb_ray.tuning.resources import local_slots
from ofb_ray.tuning.searcher import StudySearcher
from ofb_ray.tuning.session import session
from ofb_ray.tuning.signals import Stop
from ofb_ray.tuning.study import Suggestions
from ofb_ray.tuning.trackers import Trackers, check_installed
from ofb_ray.tuning.trainable import trainable
from ofb_ray.tuning.workers import placement

RUN_TRIAL = "ofb_ray.trial:run_trial"


def launch(results: Path, spec: SweepSpec, *, address: str | None = None, function: str = RUN_TRIAL) -> bool:
    """Run the trials of the sweep that have no record yet. False: it was interrupted by SIGINT or SIGTERM.

    Args:
        results: the results folder, made if it is missing; checked by the caller to be this sweep's.
        spec: the sweep.
        address: of a Ray cluster that sees the results folder; None starts Ray on this machine.
        function: `module:name` of the trial function, with run_trial's signature.

    Raises:
        InputError: more CPUs or GPUs asked than there are, or another driver at work. Nothing is created.
    """
    check_installed(spec)
    if address is None:
        local_slots(spec)
    created = not results.exists()
    results.mkdir(parents=True, exist_ok=True)
    lock = results_of.driver_lock(results)
    try:
        with session(spec, address) as slots:
            results_of.write_sweep(results, spec)
            return _run(results, spec, slots, function)
    except InputError:
        if created:
            shutil.rmtree(results)
        raise
    finally:
        shutil.rmtree(results / results_of.RAY_FOLDER, ignore_errors=True)
        lock.release()


def _run(results: Path, spec: SweepSpec, slots: int, function: str) -> bool:
    suggestions = Suggestions(results, spec)
    done = results_of.count_records(results, suggestions.total)
    left = suggestions.total - done
    if done:
        print(f"resuming: {done} of {suggestions.total} finished", flush=True)
    stop = Stop()
    shown = Display(spec, results_of.read_facts(results), suggestions.total)
    with shown as display, Trackers(results, spec, display.note) as trackers, stop:
        events = Events(results, spec, display, stop.is_set, trackers)
        asked = spec.resources
        config: Json = {"results": str(results), "function": function, "here": os.getcwd()}
        config |= {"workers": asked.workers, "cpus": asked.cpus_per_worker, "gpus": asked.gpus_per_worker}
        tuner = tune.Tuner(
            tune.with_resources(trainable, placement(asked)),
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(suggestions, config, stop.is_set, events.ended),
                num_samples=left,
                max_concurrent_trials=slots,
                # A new process costs 2 s; on a GPU it is worth it, because the old one keeps its CUDA context.
                reuse_actors=asked.gpus == 0 and asked.workers == 1,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=time.strftime("%Y%m%d-%H%M%S"),
                storage_path=str(results / results_of.RAY_FOLDER),
                callbacks=[events],
                stop=stop,
                failure_config=tune.FailureConfig(max_failures=spec.failure.retries),
                verbose=0,
            ),
        )
        tuner.fit()
    return not stop.is_set()


def _trial_name(trial: Any) -> str:
    return f"{trial.config.get('number', 0):05d}"
