"""Ray Tune's view of the sweep's end."""

from __future__ import annotations

from ray import tune

from ofb_ray.config import Json
from ofb_ray.tuning.lifecycle.stop import Stop


class Stopper(tune.Stopper):
    """Stop all trials once `stop` is set; a report that says `stop` sets it, as no other trial would fare better."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def __getstate__(self) -> Json:
        return {}  # Ray pickles what it is given, for a restore that never happens here

    def __call__(self, trial_id: str, result: Json) -> bool:
        """Take a trial's report; that trial goes on either way."""
        if result.get("stop"):
            self._stop.set(str(result["message"]))
        return False

    def stop_all(self) -> bool:
        return self._stop.is_set()
