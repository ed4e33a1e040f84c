"""The softened knapsack meets the budget in expectation and hardens into the projection."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import Backbone
from ofb_ray.calibration.softened import softened, temperature_of
from ofb_ray.method.cost import cost, heads_of, smallest, units_of
from ofb_ray.method.projection import make_goal, project
from tests.nets import NETS, SPACE, gone_space, network


def deltas_of(backbone: Backbone, seed: int = 0) -> dict[str, Tensor]:
    """Random divergences that rise as a size falls."""
    generator = torch.Generator().manual_seed(seed)
    result = {}
    for axis in backbone.axes:
        shape = (len(axis.head_choices), len(axis.width_choices))
        if shape != (1, 1):
            steps_IJ = torch.rand(shape, generator=generator) * 0.05
            result[axis.name] = steps_IJ.flip(0, 1).cumsum(0).cumsum(1).flip(0, 1)
            result[axis.name] -= result[axis.name][-1, -1].clone()
    return result


def expected_cost(backbone: Backbone, log_p: dict[str, Tensor]) -> float:
    values = {name: float(size) for name, size in units_of(backbone.widths).items()}
    for axis in backbone.axes:
        if axis.name in log_p:
            p = log_p[axis.name].exp().flatten().tolist()
            values[axis.name] = sum(chance * size.units for chance, size in zip(p, axis.candidates, strict=True))
            heads = sum(chance * size.heads for chance, size in zip(p, axis.candidates, strict=True))
            values[heads_of(axis.name)] = heads
    return float(cost(backbone.macs, values))  # type: ignore[type-var]


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_expected_cost_is_the_aim(kind: str, share: float) -> None:
    backbone = describe_backbone(network(kind), SPACE)
    low = cost(backbone.macs, units_of(smallest(backbone.axes)))
    aim = low + share * (cost(backbone.macs, units_of(backbone.widths)) - low)
    log_p = softened(backbone.macs, backbone.axes, deltas_of(backbone), aim, 0.05)
    assert expected_cost(backbone, log_p) == pytest.approx(aim, rel=5e-3)
    for chances in log_p.values():
        assert float(chances.exp().sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_aim_is_met_where_parts_may_go_and_no_size_counts_twice(share: float) -> None:
    backbone = describe_backbone(network("plain"), gone_space("plain"))
    low = cost(backbone.macs, units_of(smallest(backbone.axes)))
    aim = low + share * (cost(backbone.macs, units_of(backbone.widths)) - low)
    log_p = softened(backbone.macs, backbone.axes, deltas_of(backbone), aim, 0.05)
    assert expected_cost(backbone, log_p) == pytest.approx(aim, rel=5e-3)
    attention = log_p["blocks.0.attn"].exp()
    assert float(attention[0, 0]) > 0
    assert not attention[0, 1:].any()


def test_the_budget_that_preferences_cost_leaves_them_alone() -> None:
    backbone = describe_backbone(network("plain"), SPACE)
    deltas = deltas_of(backbone)
    wanted = {name: (-delta / 0.05).flatten().log_softmax(0).view_as(delta) for name, delta in deltas.items()}
    log_p = softened(backbone.macs, backbone.axes, deltas, expected_cost(backbone, wanted), 0.05)
    for name, log_p_IJ in log_p.items():
        assert torch.allclose(log_p_IJ, wanted[name], atol=1e-3)


def test_cold_probabilities_are_nearly_the_best_network() -> None:
    """At the budget of a vertex of the front the dual has no gap: the likeliest sizes are the projection's."""
    backbone = describe_backbone(network("plain"), SPACE)
    deltas = deltas_of(backbone, 3)
    dense = cost(backbone.macs, units_of(backbone.widths))
    log_p = softened(backbone.macs, backbone.axes, deltas, 0.5 * dense, 1e-4)
    likeliest = {axis.name: axis.candidates[int(log_p[axis.name].argmax())] for axis in backbone.axes}
    candidates = {axis.name: axis.candidates for axis in backbone.axes}
    utility = {name: (-delta_IJ.flatten()).tolist() for name, delta_IJ in deltas.items()}
    spent = cost(backbone.macs, units_of(likeliest))
    best = project(make_goal(backbone.macs, candidates, spent), candidates, utility)

    def worth(widths: dict[str, object]) -> float:
        return sum(utility[axis.name][axis.candidates.index(widths[axis.name])] for axis in backbone.axes)  # type: ignore[arg-type]

    assert worth(dict(likeliest)) >= worth(dict(best)) - 0.02


def test_the_temperature_is_what_the_cut_axes_cost_on_average() -> None:
    backbone = describe_backbone(network("plain"), SPACE)
    deltas = deltas_of(backbone)
    chosen = dict(backbone.widths)
    cut = [axis for axis in backbone.axes if axis.kind == "mlp"]
    for axis in cut:
        chosen[axis.name] = axis.candidates[0]
    wanted = sum(float(deltas[axis.name][0, 0]) for axis in cut) / len(cut)
    assert temperature_of(deltas, backbone.axes, chosen) == pytest.approx(wanted)
    assert temperature_of(deltas, backbone.axes, backbone.widths) > 0
