"""Make a search of the small network, not yet begun."""

from __future__ import annotations

from typing import Any

import torch

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.data import load
from ofb_ray.method.cost import cost, units_of
from ofb_ray.search.state import Problem
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.run import Run
from ofb_ray.trial.goal import goal_of
from ofb_ray.trial.plan import resolve_model
from tests.small import small_spec

CPU = torch.device("cpu")


def problem_of(**search_keys: Any) -> tuple[Supernet, Problem, list[dict[str, Any]], Run]:
    """Make a search of six epochs: its supernet, what it searches for, and a run that adds rows to a history.

    Args:
        search_keys: of the spec's search.
    """
    spec = small_spec(search={"epochs": 6, **search_keys})
    torch.manual_seed(0)
    net = create(resolve_model(spec))
    backbone = describe_backbone(net, spec.search.space)
    goal = goal_of(spec, backbone)
    problem = Problem(load(spec.data), spec.search, goal, cost(goal.terms, units_of(backbone.widths)))
    history: list[dict[str, Any]] = []
    return Supernet(net, backbone), problem, history, Run("search", 0, CPU, lambda row, _: history.append(row))
