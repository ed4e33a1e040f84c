"""Costs that count heads: parameters of per-head tables, exact for sizes and in expectation."""

from __future__ import annotations

import pytest
import torch

from ofb_ray.config import SearchSpec
from ofb_ray.method.axis import Axis, Cut, Width
from ofb_ray.method.cost import Term, axis_of, cost, heads_of, parameter_terms, units_of
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.pruning import prune
from ofb_ray.search.supernet import Supernet
from tests.nets import supernet

AXES = (
    Axis("embed", "embedding", (1,), (4, 8), Width(1, 8)),
    Axis("attn", "attention", (1, 2), (3, 5), Width(2, 5)),
)


def test_every_variable_belongs_to_its_axis() -> None:
    values = units_of({axis.name: axis.size for axis in AXES})
    assert values == {"embed": 8, heads_of("embed"): 1, "attn": 10, heads_of("attn"): 2}
    assert {axis_of(variable) for variable in values} == {"embed", "attn"}


def test_a_table_counts_heads_and_a_matrix_counts_units() -> None:
    cuts = (Cut("table", 1, "attn", per_head=True), Cut("qkv", 0, "attn", copies=3), Cut("qkv", 1, "embed"))
    terms = parameter_terms({"table": (9, 2), "qkv": (30, 8)}, cuts, AXES)
    assert set(terms) == {Term(9, (heads_of("attn"),)), Term(3, ("attn", "embed"))}
    assert cost(terms, units_of({"attn": Width(1, 3), "embed": Width(1, 4)})) == 9 * 1 + 3 * 3 * 4


@pytest.mark.parametrize(
    ("cuts", "shape", "reason"),
    [
        ((Cut("w", 0, "attn"),), (9, 8), "not 1 x 10"),
        ((Cut("w", 0, "attn", per_head=True),), (3, 8), "not 1 x 2"),
        ((Cut("w", 0, "attn", per_head=True), Cut("w", 1, "attn", per_head=True)), (2, 2), "twice along one axis"),
    ],
)
def test_cuts_that_do_not_fit_are_refused(cuts: tuple[Cut, ...], shape: tuple[int, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parameter_terms({"w": shape}, cuts, AXES)


@pytest.mark.parametrize("resource", ["macs", "params"])
def test_expected_cost_is_the_mean_over_sizes(resource: str) -> None:
    """One open attention axis of Swin, its heads and units not independent: E[cost] against the sum over sizes."""
    net = _with_one_open_axis("layers.0.blocks.1.attn")
    terms = net.backbone.macs if resource == "macs" else net.backbone.params
    p_IJ = net.probabilities()["layers.0.blocks.1.attn"].detach().double()
    sizes = net.backbone.axis("layers.0.blocks.1.attn").candidates
    costs = [cost(terms, units_of(net.backbone.widths | {"layers.0.blocks.1.attn": size})) for size in sizes]
    wanted = float(p_IJ.flatten() @ torch.tensor(costs).double())
    assert len({size.heads for size in sizes}) > 1
    found = net.expected_cost(terms, net.probabilities())
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-6)
    assert torch.autograd.grad(found, net.undecided["layers.0.blocks.1.attn"].alpha_IJ)[0].abs().sum() > 0


def _with_one_open_axis(name: str) -> Supernet:
    net = supernet("swin")
    alive = {}
    for other, mask in net.undecided.items():
        if other != name:
            alive[other] = torch.zeros_like(mask.alive_IJ)
            alive[other].view(-1)[0] = True
    return prune(net, make_search_optimizer(net, SearchSpec(), 10), alive, 0.3).net
