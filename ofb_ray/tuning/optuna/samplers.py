"""Make Optuna's samplers by name, anew for every trial, so that a resumed sweep suggests what it would have."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import optuna
from optuna import samplers
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState
from pydantic import TypeAdapter, ValidationError

from ofb_ray.config import SweepSpec
from ofb_ray.errors import InputError, nearest
from ofb_ray.tuning.optuna.distributions import distribution

_KINDS: dict[str, Any] = {
    "gp": samplers.GPSampler,
    "tpe": samplers.TPESampler,
    "nsga2": samplers.NSGAIISampler,
    "nsga3": samplers.NSGAIIISampler,
    "random": RandomSampler,
    "qmc": QMCSampler,
}
_PLAIN = {"bool": bool, "int": int, "float": float, "str": str, "None": None}
_OURS = ("seed", "warn_independent_sampling", "warn_asynchronous_seeding")
_DEPRECATED = ("prior_weight", "consider_prior", "consider_magic_clip", "consider_endpoints")


class _Sequence(QMCSampler):
    """Suggest the `index`-th point of a quasi-random sequence over the whole space, conditional parameters included.

    Optuna's own counts the trials of the study, of which a cell would get every n-th: with two cells one half of a
    Sobol sequence each, cut along the first parameter.
    """

    def __init__(self, space: dict[str, BaseDistribution], index: int, **options: Any) -> None:
        super().__init__(warn_independent_sampling=False, **options)
        self._space, self._index = space, index

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all parameters but those with a single value."""
        return self._space

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._index


def make_sampler(spec: SweepSpec, number: int, label: str = "", drawn: int = 0) -> BaseSampler:
    """Make the sampler of a trial: seeded by the sweep's first seed and the trial's number, so that a resumed sweep
    neither repeats the start-up draws nor depends on where it was interrupted.

    Args:
        spec: the sweep.
        number: of the trial.
        label: of its cell; each has a `qmc` sequence of its own.
        drawn: how many suggestions this label has had: the index in that sequence.
    """
    seed = _seed(spec.seeds[0], number)
    kind, options = kind_of(spec), spec.sampler.options
    if kind == "tpe":
        options = {"multivariate": True, "group": options.get("multivariate", True), "constant_liar": True} | options
    elif kind == "gp":
        options["warn_independent_sampling"] = False
    elif kind == "qmc":
        space = {key: distribution(parameter) for key, parameter in spec.parameters.items()}
        space = {key: each for key, each in space.items() if not each.single()}
        seed = _seed(spec.seeds[0], crc32(label.encode()))
        return _Sequence(space, drawn, **{"scramble": True, "seed": seed, **options})
    made: BaseSampler = _KINDS[kind](seed=seed, **options)
    return made


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def kind_of(spec: SweepSpec) -> str:
    """Return the name of the sampler that suggests; `grid` and a sweep without parameters fix all, so any would do."""
    kind = spec.sampler.name
    if not spec.parameters or kind == "grid":
        return "random"
    if kind == "auto":
        return "tpe" if any(parameter.when for parameter in spec.parameters.values()) else "gp"
    return kind


def with_generations(spec: SweepSpec, trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Note in trials of a study that is made again the generation in which a genetic sampler bred them."""
    kind = _KINDS[kind_of(spec)]
    if issubclass(kind, samplers.BaseGASampler):
        default = inspect.signature(kind).parameters["population_size"].default
        size, bred = spec.sampler.options.get("population_size", default), 0
        for trial in trials:
            trial.system_attrs[kind._get_generation_key()] = bred // size
            bred += trial.state in (TrialState.COMPLETE, TrialState.RUNNING)
    return trials


def check_sampler(spec: SweepSpec) -> None:
    """Check that the sampler's options exist, and that it can be made with their values.

    Raises:
        InputError: they do not; the key is `sampler.<option>`.
    """
    name, options = spec.sampler.name, spec.sampler.options
    known = _options(_KINDS[name]) if name in _KINDS else {}
    for option, value in options.items():
        key = f"sampler.{option}"
        if option not in known:
            listing = f"known are {', '.join(known)}" if known else "it has none"
            raise InputError(f"no option of sampler {name!r}; {listing}{nearest(option, list(known))}", key=key)
        kinds = known[option]
        if not _fits(value, kinds):
            names = " or ".join("null" if kind is None else kind.__name__ for kind in kinds)
            raise InputError(f"takes {names}, not {value!r}", key=key)
        low = 0 if option.startswith("n_startup") or isinstance(value, float) else 1
        if isinstance(value, int | float) and not isinstance(value, bool) and value < low:
            raise InputError(f"is at least {low}, not {value!r}", key=key)
        if option.endswith("_prob") and value is not None and value > 1:
            raise InputError(f"is a probability, at most 1, not {value!r}", key=key)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            make_sampler(spec, 0)
    except (ValueError, TypeError) as error:
        raise InputError(f"sampler {name!r}: {' '.join(str(error).split())}", key="sampler") from None


def _options(kind: type[BaseSampler]) -> dict[str, Sequence[Any]]:
    """Return the constructor's options that YAML can write, with their types; not ours, not deprecated."""
    found: dict[str, Sequence[Any]] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        words = str(parameter.annotation).split(" | ")
        if name not in _OURS + _DEPRECATED and all(word in _PLAIN for word in words):
            found[name] = [_PLAIN[word] for word in words]
    return found


def _fits(value: Any, kinds: Sequence[Any]) -> bool:
    for kind in kinds:
        try:
            TypeAdapter(kind).validate_python(value, strict=True)
        except ValidationError:
            continue
        return True
    return False
