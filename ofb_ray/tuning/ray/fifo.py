"""Which of Ray Tune's trials starts next: the first that waits, found among those that have not ended."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from ofb_ray.tuning.ray.job import number_in


class Fifo(FIFOScheduler):
    """Ray's own goes through all trials that there ever were, several times a trial."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Return the trial that starts next, None where none waits."""
        waiting = [
            trial for trial in tune_controller.get_live_trials() if trial.status in (Trial.PENDING, Trial.PAUSED)
        ]
        return min(waiting, key=_turn, default=None)


def _turn(trial: Any) -> tuple[bool, int]:
    return trial.status == Trial.PAUSED, number_in(trial.config)
