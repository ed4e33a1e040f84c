"""The budget of a trial in numbers: a goal on the candidate grid of its network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ofb_ray.backbones.base import Backbone
from ofb_ray.config import Resource, TrialSpec
from ofb_ray.errors import UnreachableBudget
from ofb_ray.method.cost import Part, cost, smallest, units_of
from ofb_ray.method.projection import Goal, make_goal
from ofb_ray.trial.wider import wider


def goal_of(spec: TrialSpec, backbone: Backbone, net: nn.Module | None = None, latency: Sequence[Part] = ()) -> Goal:
    """Turn the spec's budget into a goal on the candidate grid of `backbone`.

    Args:
        net: the network, from which an error says what keys make a budget reachable.
        latency: the tables of its latency. Where a budget limits one that is not known, the MACs stand for it.
    Raises:
        UnreachableBudget: the target lies below the smallest subnet.
    """
    dense, resource = units_of(backbone.widths), spec.budget.resource
    macs, params = cost(backbone.macs, dense), cost(backbone.params, dense)
    terms: Sequence[Part] = backbone.params if resource == "params" else backbone.macs
    if resource == "latency_ns":
        terms = latency or backbone.macs
        target = spec.budget.target(macs, params, cost(terms, dense))
        if not latency:  # milliseconds of a device that is not known are not compared
            minimum = cost(terms, units_of(smallest(backbone.axes)))
            target = macs if spec.budget.latency_ms is not None else max(target, minimum)
    else:
        target = spec.budget.target(macs, params)
    _check_reachable(spec, terms, backbone, target, net)
    return make_goal(terms, {axis.name: axis.candidates for axis in backbone.axes}, target)


def _check_reachable(
    spec: TrialSpec, terms: Sequence[Part], backbone: Backbone, target: int, net: nn.Module | None
) -> None:
    """Refuse a target below the smallest subnet.

    Raises:
        UnreachableBudget: see `goal_of`.
    """
    resource = spec.budget.resource
    minimum, full = cost(terms, units_of(smallest(backbone.axes))), cost(terms, units_of(backbone.widths))
    if target >= minimum:
        return
    found = None if net is None or resource == "latency_ns" else wider(net, spec.search.space, resource, target)
    remedy = "raise the budget or widen search.space"
    if found is not None:
        keys = ", ".join(f"{key}: {value:g}" for key, value in found.keys.items())
        remedy = f"raise the budget, or set search.space {{{keys}}}, which reaches {found.minimum:,}"
    raise UnreachableBudget(
        f"{spec.budget.label} is {_amount(resource, target)}, below the smallest reachable subnet: "
        f"{_amount(resource, minimum)} (ratio {minimum / full:.4f}); {remedy}",
        key="budget",
    )


def _amount(resource: Resource, amount: int) -> str:
    if resource == "latency_ns":
        return f"{amount / 1e6:.3g} ms"
    return f"{amount:,} {'MACs' if resource == 'macs' else 'parameters'}"
