"""Log to MLflow: an experiment for each sweep, a run for each trial, found again by its tags."""

from __future__ import annotations

import importlib
import logging
import os
import time
from typing import Any

from ofb_ray.results.records import Record
from ofb_ray.tuning.trackers.base import EpochRow, TrackedTrial, final_metrics, history, metrics

# By default a client waits minutes for a server that is away; here a failed call is tried again by its thread.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_MARK = "phase"


class MlflowRuns:
    """Runs on an MLflow server or in a local store.

    Args:
        sweep: its name; the experiment's, unless `options` has `experiment`.
        identity: of the results folder; two sweeps of one name keep their runs apart by it.
        options: `tracking_uri` (default: MLFLOW_TRACKING_URI, as MLflow has it) and `experiment`.
    """

    def __init__(self, sweep: str, identity: str, options: dict[str, str]) -> None:
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        self._mlflow: Any = importlib.import_module("mlflow")
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.ERROR)  # the terminal shows the sweep
        self._client = self._mlflow.MlflowClient(options.get("tracking_uri"))
        self._name, self._identity = options.get("experiment", sweep), identity
        self._experiment = ""
        self._runs: dict[int, tuple[str, set[int]]] = {}

    def start(self, trial: TrackedTrial) -> None:
        """Find the trial's run, or make it."""
        if trial.number in self._runs:
            return
        tags = {"ofb_ray.results": self._identity, "ofb_ray.trial": str(trial.number)}
        where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found = self._client.search_runs([self._experiment_id()], where, max_results=1)
        if found:
            run_id = found[0].info.run_id
            self._client.update_run(run_id, status="RUNNING")
            logged = {metric.step for metric in self._client.get_metric_history(run_id, _MARK)}
        else:
            more = {"ofb_ray.sweep": trial.sweep, "ofb_ray.cell": trial.label, "ofb_ray.key": trial.key}
            run = self._client.create_run(self._experiment, tags={**tags, **more}, run_name=trial.name)
            run_id, logged = run.info.run_id, set()
        # Equal parameters may be logged again; a kill may have come between the run and its parameters.
        params = [self._mlflow.entities.Param(key, str(value)) for key, value in trial.hparams.items()]
        self._client.log_batch(run_id, params=params)
        self._runs[trial.number] = run_id, logged

    def log(self, trial: TrackedTrial, step: int, row: EpochRow) -> None:
        """Log an epoch in one call."""
        self._batch(trial, {step: metrics(row)})

    def end(self, trial: TrackedTrial, record: Record | None, reason: str) -> None:
        """Log what is lacking in one call, then the status: FINISHED, FAILED, or KILLED where a resume may go on."""
        self.start(trial)
        run_id, _ = self._runs[trial.number]
        if record is not None:
            known = history(trial, record)
            self._batch(trial, {step: metrics(row) for step, row in known.items()})
            self._send(run_id, {max(known, default=0): final_metrics(record)})
            reason = record.reason
        if reason:
            self._client.set_tag(run_id, "ofb_ray.reason", reason[:5000])
        self._client.set_terminated(run_id, _status(record, reason))
        self.forget(trial.number)

    def forget(self, number: int) -> None:
        """Ask the server at the next call."""
        self._runs.pop(number, None)

    def close(self) -> None:
        """Runs that are still open were interrupted."""
        for run_id, _ in self._runs.values():
            self._client.set_terminated(run_id, "KILLED")

    def _batch(self, trial: TrackedTrial, rows: dict[int, dict[str, float]]) -> None:
        self.start(trial)
        run_id, logged = self._runs[trial.number]
        fresh = {step: row for step, row in rows.items() if step not in logged}
        self._send(run_id, fresh)
        logged.update(fresh)

    def _send(self, run_id: str, rows: dict[int, dict[str, float]]) -> None:
        now = int(time.time() * 1000)
        make = self._mlflow.entities.Metric
        points = [make(key, value, now, step) for step, row in rows.items() for key, value in row.items()]
        for first in range(0, len(points), 1000):  # a server takes no more at once
            self._client.log_batch(run_id, metrics=points[first : first + 1000])

    def _experiment_id(self) -> str:
        if not self._experiment:
            known = self._client.get_experiment_by_name(self._name)
            self._experiment = known.experiment_id if known else self._client.create_experiment(self._name)
        return self._experiment


def _status(record: Record | None, reason: str) -> str:
    if record is None:
        return "FAILED" if reason else "KILLED"
    return {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}[record.status]
