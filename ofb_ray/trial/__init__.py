"""One trial, without Ray: dense training, search, fine-tuning, evaluation, export."""

from ofb_ray.trial.run import run_trial

__all__ = ["run_trial"]
