"""What a user writes: frozen specs of a trial and of a sweep. Unknown keys are errors.

Every spec is a pydantic model, so its JSON form is its identity: `TrialSpec.key` hashes it. Reading them from YAML,
with the line of every error, is `load.py`'s work. The site's reference of sweep keys is made from their fields.
"""

from ofb_ray.config.base import Json, Strict, put
from ofb_ray.config.data import AugmentSpec, DataSpec
from ofb_ray.config.explore import Constraint, Objective, Parameter, Sampler
from ofb_ray.config.latency import LatencySpec
from ofb_ray.config.model import ModelSpec, SpaceSpec, check_arguments
from ofb_ray.config.schedule import Chain, Failure, GateSpec, Resources
from ofb_ray.config.search import PmimSpec, SearchSpec
from ofb_ray.config.sweep import SWEEP_NAME, SweepSpec
from ofb_ray.config.train import DenseSpec, DistillSpec, FinetuneSpec, FitSpec, PhaseSpec
from ofb_ray.config.trial import PHASES, Budget, Link, Phase, Resource, TrialSpec

__all__ = [
    "PHASES",
    "SWEEP_NAME",
    "AugmentSpec",
    "Budget",
    "Chain",
    "Constraint",
    "DataSpec",
    "DenseSpec",
    "DistillSpec",
    "Failure",
    "FinetuneSpec",
    "FitSpec",
    "GateSpec",
    "Json",
    "LatencySpec",
    "Link",
    "ModelSpec",
    "Objective",
    "Parameter",
    "Phase",
    "PhaseSpec",
    "PmimSpec",
    "Resource",
    "Resources",
    "Sampler",
    "SearchSpec",
    "SpaceSpec",
    "Strict",
    "SweepSpec",
    "TrialSpec",
    "check_arguments",
    "put",
]
