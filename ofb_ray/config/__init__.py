"""What a user writes: frozen specs of a trial and of a sweep. Unknown keys are errors.

Every spec is a pydantic model, so its JSON form is its identity: `TrialSpec.key` hashes it. Reading them from YAML,
with the line of every error, is `specfile.py`'s work.
"""

from ofb_ray.config.base import Json, Strict, put
from ofb_ray.config.data import AugmentSpec, DataSpec
from ofb_ray.config.model import ModelSpec, SpaceSpec
from ofb_ray.config.sweep import Constraint, Failure, GateSpec, Objective, Parameter, Resources, Sampler, SweepSpec
from ofb_ray.config.train import DenseSpec, DistillSpec, FinetuneSpec, FitSpec, PhaseSpec, PmimSpec, SearchSpec
from ofb_ray.config.trial import Budget, TrialSpec

__all__ = [
    "AugmentSpec",
    "Budget",
    "Constraint",
    "DataSpec",
    "DenseSpec",
    "DistillSpec",
    "Failure",
    "FinetuneSpec",
    "FitSpec",
    "GateSpec",
    "Json",
    "ModelSpec",
    "Objective",
    "Parameter",
    "PhaseSpec",
    "PmimSpec",
    "Resources",
    "Sampler",
    "SearchSpec",
    "SpaceSpec",
    "Strict",
    "SweepSpec",
    "TrialSpec",
    "put",
]
