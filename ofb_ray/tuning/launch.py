"""One launch of a sweep: a fresh Ray Tune run over whatever its results folder still lacks."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")  # what Ray would print of a death goes to the trial's log
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")

import ray
from ray import tune

from ofb_ray import records
from ofb_ray.errors import InputError
from ofb_ray.records import Record
from ofb_ray.spec import Json, SweepSpec
from ofb_ray.tuning import folder as results_of
from ofb_ray.tuning.display import Display
from ofb_ray.tuning.resources import check_nodes, local_gpus, local_slots
from ofb_ray.tuning.searcher import StudySearcher
from ofb_ray.tuning.study import Suggestions
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
    if address is None:
        local_slots(spec)
    created = not results.exists()
    results.mkdir(parents=True, exist_ok=True)
    lock = results_of.driver_lock(results)
    try:
        with _ray(spec, address) as slots:
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
    stop = _Stop()
    with Display(suggestions.total, done) as display, stop:
        events = _Events(results, spec, display, stop.is_set)
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
                storage_path=str(results / (results_of.LOGGER_FOLDER if spec.loggers else results_of.RAY_FOLDER)),
                callbacks=[events, *_loggers(spec)],
                stop=stop,
                failure_config=tune.FailureConfig(max_failures=spec.failure.retries),
                verbose=0,
            ),
        )
        tuner.fit()
    return not stop.is_set()


class _Stop(tune.Stopper):
    """Turns SIGINT and SIGTERM into an orderly end; a second signal acts as usual. Use as a context manager."""

    def __init__(self) -> None:
        self._signalled = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _handle(self, *_: object) -> None:
        self._signalled = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}

    def __getstate__(self) -> Json:
        return {}  # Ray pickles what it is given, for a restore that never happens here

    def is_set(self) -> bool:
        return self._signalled

    def __call__(self, trial_id: str, result: Json) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._signalled


class _Events(tune.Callback):
    """Passes what Ray says about trials on to the display, and notes deaths in the trial's folder."""

    def __init__(self, results: Path, spec: SweepSpec, display: Display, stopped: Any) -> None:
        self._results, self._spec, self._display, self._stopped = results, spec, display, stopped

    def __getstate__(self) -> Json:
        return {}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Json, **_: Any) -> None:
        number = trial.config["number"]
        label, params = self._facts(number)
        self._display.progress(number, label, params, result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        number = trial.config["number"]
        self._log(number, trial)
        self._display.note(f"trial {number}: its process died or raised an error; it goes on from its checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._log(trial.config["number"], trial)

    def _log(self, number: int, trial: Any) -> None:
        """What Ray knows about a death (the system's out-of-memory killer, say) goes into the trial's log.

        An error that was raised is there already, written by the process that raised it.
        """
        if trial.error_file is None or not Path(trial.error_file).exists():
            return
        cause = Path(trial.error_file).read_text(encoding="utf-8").rpartition("Failure # ")[2]
        log = records.trial_folder(self._results, number) / results_of.LOG_FILE
        if "RayTaskError" in cause or (log.exists() and cause in log.read_text(encoding="utf-8")):
            return  # Ray announces some deaths twice
        with log.open("a", encoding="utf-8") as file:
            file.write(f"Failure {cause}\n")

    def ended(self, number: int, record: Record | None) -> None:
        """A trial ended; without a record it was interrupted, met bad input, or died more often than it may."""
        folder = records.trial_folder(self._results, number)
        progress = results_of.read_json(folder / results_of.PROGRESS_FILE)
        reason = str(progress["message"]) if record is None and progress.get("phase") == "died" else ""
        if record is None and not reason and not self._stopped():
            reason = (
                f"{self._spec.failure.retries + 1} attempts died or raised an error, see {folder / results_of.LOG_FILE}"
            )
            records.write_json(folder / results_of.PROGRESS_FILE, {"phase": "died", "message": reason})
        self._display.ended(number, record, reason)

    def _facts(self, number: int) -> tuple[str, Json]:
        trial = results_of.read_json(records.trial_folder(self._results, number) / results_of.TRIAL_FILE)
        return trial.get("label", ""), trial.get("params", {})


def _trial_name(trial: Any) -> str:
    return f"{trial.config.get('number', 0):05d}"


def _loggers(spec: SweepSpec) -> list[Any]:
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback

    known: dict[str, Any] = {"csv": CSVLoggerCallback, "json": JsonLoggerCallback, "tensorboard": TBXLoggerCallback}
    return [known[name]() for name in spec.loggers]


def _knock(address: str) -> None:
    """Fail at once where nothing listens at host:port; Ray itself would try for more than a minute.

    Raises:
        OSError: nothing answers.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "://" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()


@contextmanager
def _ray(spec: SweepSpec, address: str | None) -> Iterator[int]:
    """Ray for the time of a launch; yields how many trials run at a time."""
    gpus = local_gpus(spec) if address is None else 0
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    quiet: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    if address is None:
        # "local", because Ray would else join any cluster that an environment variable or /tmp/ray tells it of.
        ray.init(address="local", num_cpus=os.cpu_count(), num_gpus=gpus, include_dashboard=False, **quiet)
    else:
        try:
            _knock(address)
            ray.init(address=address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"no Ray cluster answers: {str(error).splitlines()[0]}", key="--address") from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        list_nodes: Any = ray.nodes
        nodes = [node["Resources"] for node in list_nodes() if node["Alive"]]
        fits = check_nodes(spec, "the cluster" if address else "this machine", nodes)
        # A cluster may grow while the sweep runs, so there `concurrent` is taken as it is.
        yield spec.resources.concurrent or fits if address else local_slots(spec)
    finally:
        ray.shutdown()
