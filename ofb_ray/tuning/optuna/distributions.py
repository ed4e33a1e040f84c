"""Explored values as Optuna knows them: one categorical for the cell, one distribution for each parameter."""

from __future__ import annotations

import json
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ofb_ray.config import Json, Parameter, SweepSpec
from ofb_ray.results.cells import cell_label
from ofb_ray.tuning.optuna.ends import has_cell

CELL = "cell"
_PLAIN = (bool, int, float, str, type(None))


def labels(spec: SweepSpec) -> list[str]:
    """Return the labels of the cells that the study knows, each once: the choices of the categorical `CELL`."""
    return list(dict.fromkeys(cell_label(cell) for cell in spec.cells if has_cell(spec, cell)))


def as_choice(value: Any) -> Any:
    """Return a value as Optuna can store it: lists and mappings as JSON text."""
    return value if isinstance(value, _PLAIN) else json.dumps(value, sort_keys=True)


def distribution(parameter: Parameter) -> BaseDistribution:
    """Return the parameter's range or choices."""
    if parameter.values is not None:
        return CategoricalDistribution([as_choice(value) for value in parameter.values])
    assert parameter.min is not None
    assert parameter.max is not None
    if parameter.integer:
        return IntDistribution(int(parameter.min), int(parameter.max), log=parameter.log)
    return FloatDistribution(parameter.min, parameter.max, log=parameter.log)


def distributions(spec: SweepSpec, values: Json) -> dict[str, BaseDistribution]:
    """Return the distributions of the cell and of the parameters in `values`, keyed as in the sweep file."""
    return {CELL: CategoricalDistribution(labels(spec))} | {key: distribution(spec.parameters[key]) for key in values}
