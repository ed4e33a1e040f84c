"""A cost as tables says what the polynomial says that filled them: to projection, expectation, elimination, start."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import Backbone
from ofb_ray.calibration.softened import softened
from ofb_ray.method.axis import Width
from ofb_ray.method.chain import Candidates, cost_tables
from ofb_ray.method.cost import Part, Table, cost, smallest, units_of
from ofb_ray.method.projection import is_reachable, make_goal, project
from ofb_ray.search.costing import Costing
from ofb_ray.search.pruning import mask_utility
from tests.nets import NETS, SPACE, network, supernet

TARGETS = 20


def tabulated(terms: Sequence[Part], candidates: Candidates) -> tuple[Table, ...]:
    tables = cost_tables(terms, candidates)
    return tuple(Table(axes, tuple(tuple(candidates[axis]) for axis in axes), cost) for axes, cost in tables.items())


def described(kind: str) -> tuple[Backbone, dict[str, list[Width]]]:
    backbone = describe_backbone(network(kind), SPACE)
    return backbone, {axis.name: axis.candidates for axis in backbone.axes}


@pytest.mark.parametrize("kind", NETS)
def test_projection_and_reachability_are_those_of_the_polynomial(kind: str) -> None:
    backbone, candidates = described(kind)
    tables, draw = tabulated(backbone.macs, candidates), random.Random(kind)
    least, most = (cost(backbone.macs, units_of(sizes)) for sizes in (smallest(backbone.axes), backbone.widths))
    for _ in range(TARGETS):
        target = draw.randint(least, most)
        utility = {name: [draw.random() for _ in sizes] for name, sizes in candidates.items()}
        goals = [make_goal(terms, candidates, target) for terms in (backbone.macs, tables)]
        assert goals[0].floor == goals[1].floor
        found = [project(goal, candidates, utility) for goal in goals]
        assert found[0] == found[1]
        low = draw.randint(least, target)
        assert is_reachable(backbone.macs, candidates, low, target) == is_reachable(tables, candidates, low, target)


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("decided", [False, True], ids=["undecided", "partly decided"])
def test_the_expected_cost_is_that_of_the_polynomial(kind: str, decided: bool) -> None:
    net = supernet(kind).double()
    candidates = {axis.name: axis.candidates for axis in net.backbone.axes}
    batches = list(net._batches())[: 1 if decided else None]
    p = net.probabilities()
    costing = Costing(net.backbone.widths, batches).double()
    padded = [p_AIJ.detach() for p_AIJ in p.padded[: len(batches)]]
    wanted = costing(net.backbone.macs, padded)
    found = costing(tabulated(net.backbone.macs, candidates), padded)
    assert float(found) == pytest.approx(float(wanted), rel=1e-9)
    both = costing((*net.backbone.macs, *tabulated(net.backbone.params, candidates)), padded)
    assert float(both) == pytest.approx(float(wanted + costing(net.backbone.params, padded)), rel=1e-9)


def test_the_gradient_is_that_of_the_polynomial() -> None:
    net = supernet("plain").double()
    candidates = {axis.name: axis.candidates for axis in net.backbone.axes}
    alphas = [mask.alpha_IJ for mask in net.undecided.values()]
    grads = [
        torch.autograd.grad(net.expected_cost(terms, net.probabilities()), alphas)
        for terms in (net.backbone.macs, tabulated(net.backbone.macs, candidates))
    ]
    for first, second in zip(*grads, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("kind", ["plain", "swin"])
def test_the_start_and_the_weights_of_axes_are_those_of_the_polynomial(kind: str) -> None:
    net = supernet(kind)
    axes, candidates = net.backbone.axes, {axis.name: axis.candidates for axis in net.backbone.axes}
    tables = tabulated(net.backbone.macs, candidates)
    draw = torch.Generator().manual_seed(0)
    deltas = {name: torch.rand(mask.alpha_IJ.shape, generator=draw) for name, mask in net.undecided.items()}
    aim = 0.6 * cost(net.backbone.macs, units_of(net.backbone.widths))
    first, second = (softened(terms, axes, deltas, aim, 0.1) for terms in (net.backbone.macs, tables))
    for name in first:
        torch.testing.assert_close(first[name], second[name])
    goals = [make_goal(terms, candidates, round(aim)) for terms in (net.backbone.macs, tables)]
    utilities = [mask_utility(net, goal, 0.3, "both") for goal in goals]
    for name, wanted in utilities[0].items():
        assert utilities[1][name] == pytest.approx(wanted)


def test_a_table_knows_its_own_sizes_alone() -> None:
    table = Table(("a", "b"), ((Width(1, 2), Width(1, 4)), (Width(0, 0), Width(2, 3))), np.array([[1, 2], [3, 4]]))
    assert cost((table,), units_of({"a": Width(1, 4), "b": Width(0, 0)})) == 3
    assert table.on({"b": [Width(2, 3)], "a": [Width(1, 4), Width(1, 2)]}).tolist() == [[4], [2]]
    with pytest.raises(ValueError, match="the table of a and b does not know all of their sizes"):
        cost((table,), units_of({"a": Width(1, 3), "b": Width(0, 0)}))
    constant = Table((), (), np.array(7))
    assert cost((constant, table), units_of({"a": Width(1, 2), "b": Width(2, 3)})) == 9
