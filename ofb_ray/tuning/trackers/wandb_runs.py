"""Log to Weights & Biases: a group for each sweep, a run for each trial, gone on with after a resume."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path
from typing import Any

from ofb_ray.config import Json
from ofb_ray.results.atomic import read_json, write_json
from ofb_ray.results.records import Record
from ofb_ray.tuning.trackers.base import EpochRow, TrackedTrial, final_metrics, history, metrics

_SECONDS = 30.0


class WandbRuns:
    """Runs of one project, several open at a time.

    Args:
        folder: `<results>/loggers`; W&B keeps its files in `wandb/` there (`wandb sync` uploads offline ones).
        sweep: the group's name, and the project's unless `options` has `project`.
        identity: of the results folder; the runs' ids begin with it.
        options: `project`, `entity`, `mode` (online or offline; default: WANDB_MODE, else online).
    Raises:
        RuntimeError: online, and nobody is logged in.
    """

    def __init__(self, folder: Path, sweep: str, identity: str, options: dict[str, str]) -> None:
        self._wandb: Any = importlib.import_module("wandb")
        self._folder, self._sweep, self._identity, self._options = folder, sweep, identity, options
        # The driver's own load says nothing of a trial, and its output is not W&B's.
        quiet = {"console": "off", "silent": True, "x_disable_stats": True, "disable_git": True, "symlink": False}
        self._settings = self._wandb.Settings(**quiet, init_timeout=_SECONDS, finish_timeout=_SECONDS)
        if (options.get("mode") or self._wandb.Settings().mode) == "online":
            self._log_in()
        folder.mkdir(parents=True, exist_ok=True)
        self._runs: dict[int, Any] = {}
        self._last: dict[int, int] = {}

    def _log_in(self) -> None:
        """Without a prompt: the terminal shows the sweep."""
        try:
            well = self._wandb.login(prompt=False)
        except Exception as error:
            raise RuntimeError(f"cannot log in: {error}") from error
        if not well:
            raise RuntimeError("nobody is logged in: `wandb login`, or WANDB_API_KEY, or `mode: offline`")

    def start(self, trial: TrackedTrial) -> None:
        """Open the run, or go on with it."""
        if trial.number in self._runs:
            return
        named = {"id": f"{self._identity}-{trial.name}", "name": f"{self._sweep} {trial.number}", "group": self._sweep}
        project = {"project": self._options.get("project", self._sweep), "entity": self._options.get("entity")}
        run = self._wandb.init(
            **named,
            **project,
            dir=str(self._folder),
            config={**trial.hparams, "trial": trial.number, "cell": trial.label, "key": trial.key},
            mode=self._options.get("mode"),
            reinit="create_new",
            resume="allow",
            settings=self._settings,
        )
        self._runs[trial.number] = run
        # An offline run cannot ask the server how far it is.
        self._last[trial.number] = max(int(run.step) - 1, int(read_json(self._mark(trial)).get("step", -1)))

    def log(self, trial: TrackedTrial, step: int, row: EpochRow) -> None:
        """W&B's steps only grow: an earlier one is logged already, or was trained while no driver was there."""
        self.start(trial)
        if step <= self._last[trial.number]:
            return
        values: Json = {**metrics(row), "phase": row.phase, "phase_index": row.phase_index}
        self._runs[trial.number].log(values, step=step, commit=True)
        self._last[trial.number] = step
        write_json(self._mark(trial), {"step": step})

    def end(self, trial: TrackedTrial, record: Record | None, reason: str) -> None:
        """Final metrics and status go into the summary."""
        self.start(trial)
        run = self._runs[trial.number]
        if record is not None:
            for step, row in history(trial, record).items():
                self.log(trial, step, row)
            run.summary.update({**final_metrics(record), "status": record.status, "reason": record.reason})
        del self._runs[trial.number]
        run.finish(exit_code=0 if record is not None and record.status != "failed" else 1)

    def forget(self, number: int) -> None:
        """Open the run anew at the next call."""
        run = self._runs.pop(number, None)
        if run is not None:
            with contextlib.suppress(Exception):  # it is given up because something is wrong with it
                run.finish(exit_code=1)

    def close(self) -> None:
        """Runs that are still open were interrupted."""
        for run in self._runs.values():
            run.finish(exit_code=1)

    def _mark(self, trial: TrackedTrial) -> Path:
        return self._folder / "wandb-steps" / f"{trial.name}.json"
