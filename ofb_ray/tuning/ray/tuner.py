"""Ray Tune's run: which trials it gets, how many at a time, and where its own state goes."""

from __future__ import annotations

import tempfile
import time
from typing import Any

from ray import tune

from ofb_ray.config import SweepSpec
from ofb_ray.results.files import trial_name
from ofb_ray.tuning.lifecycle.stop import Stop
from ofb_ray.tuning.ray.callback import Events
from ofb_ray.tuning.ray.fifo import Fifo
from ofb_ray.tuning.ray.job import number_in
from ofb_ray.tuning.ray.searcher import StudySearcher
from ofb_ray.tuning.ray.stopper import Stopper
from ofb_ray.tuning.ray.trainable import trainable
from ofb_ray.tuning.ray.workers import placement


def run_tune(spec: SweepSpec, searcher: StudySearcher, events: Events, stop: Stop, count: int, slots: int) -> None:
    """Run trials until the searcher has none left or `stop` is set.

    Args:
        spec: the sweep, which says what a trial needs and how often it is tried again.
        searcher: hands out the trials.
        events: follows them.
        stop: ends the run.
        count: trials at most.
        slots: trials at a time.
    """
    asked = spec.resources
    with tempfile.TemporaryDirectory(prefix="ofb_ray-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, placement(asked)),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=Fifo(),
                num_samples=count,
                max_concurrent_trials=slots,
                # A new process costs 2 s; on a GPU it is worth it, because the old one keeps its CUDA context.
                reuse_actors=asked.gpus == 0 and asked.workers == 1,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
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


def _name(trial: Any) -> str:
    return trial_name(number_in(trial.config))
