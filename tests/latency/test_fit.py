"""Tables of latency are found from the times of a few networks, and tell those of networks that were not timed."""

from __future__ import annotations

import random

import numpy as np
import pytest

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import Backbone
from ofb_ray.config import ModelSpec, SpaceSpec
from ofb_ray.latency.design import checks, groups, partners, probes
from ofb_ray.latency.fit import errors, fit, nonnegative
from ofb_ray.method.axis import Widths
from ofb_ray.method.cost import cost, units_of
from ofb_ray.method.projection import make_goal, project
from ofb_ray.trial.plan import meta_network
from tests.nets import NETS, SPACE, network

VIT = describe_backbone(meta_network(ModelSpec(name="vit_tiny_patch16_224")), SpaceSpec())
SWIN = describe_backbone(meta_network(ModelSpec(name="swin_tiny_patch4_window7_224")), SpaceSpec())


def device(backbone: Backbone, widths: Widths, tile: int) -> float:
    """Seconds on a made-up device that works in tiles of `tile` units and takes 20 us for each head."""

    def tiles(axis: str) -> int:
        return -(-widths[axis].units // tile) * tile

    pairs = sum(tiles(a) * tiles(b) for a, b in partners(backbone))
    heads = sum(widths[axis.name].heads for axis in backbone.axes if axis.kind == "attention")
    return 1e-3 + 4e-9 * pairs + 2e-5 * heads + 1e-7 * sum(tiles(axis.name) for axis in backbone.axes)


@pytest.mark.parametrize("kind", NETS)
def test_alike_axes_are_one_group(kind: str) -> None:
    backbone = describe_backbone(network(kind), SPACE)
    found = groups(backbone)
    assert sorted(axis.name for axes in found for axis in axes) == sorted(axis.name for axis in backbone.axes)
    assert all(len({(axis.kind, axis.head_choices, axis.width_choices) for axis in axes}) == 1 for axes in found)
    assert len(groups(VIT)) == 3  # embedding, attentions, MLPs


def test_every_size_of_a_group_is_drawn_as_often_as_every_other() -> None:
    drawn = probes(VIT, 43)
    assert drawn[0] == {axis.name: axis.candidates[0] for axis in VIT.axes}
    for axes in groups(VIT):
        sizes = [widths[axes[0].name] for widths in drawn[1:]]
        assert all(widths[axis.name] == widths[axes[0].name] for widths in drawn for axis in axes)
        counts = [sizes.count(size) for size in axes[0].candidates]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(("backbone", "count"), [(VIT, 48), (SWIN, 96)], ids=["vit", "swin"])
@pytest.mark.parametrize("tile", [1, 16, 64])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_times_of_other_networks_are_told(backbone: Backbone, count: int, tile: int, noise: float) -> None:
    draw = random.Random(0)
    learned, others = [backbone.widths, *probes(backbone, count)], checks(backbone, 30)
    tables = fit(backbone, learned, [device(backbone, one, tile) * draw.gauss(1, noise) for one in learned])
    off = np.abs(errors(tables, others, [device(backbone, one, tile) for one in others]))
    assert np.median(off) <= 0.002 + noise
    assert np.quantile(off, 0.9) <= 0.005 + 2 * noise


def test_widths_that_suit_the_device_fall_out_of_the_table() -> None:
    """On tiles of 64 units the best network under a budget has no width just above one."""
    learned = [VIT.widths, *probes(VIT, 48)]
    tables = fit(VIT, learned, [device(VIT, one, 64) for one in learned])
    candidates = {axis.name: axis.candidates for axis in VIT.axes}
    utility = {axis.name: [float(size.units) for size in axis.candidates] for axis in VIT.axes}
    target = round(0.6 * cost(tables, units_of(VIT.widths)))
    chosen = project(make_goal(tables, candidates, target), candidates, utility)
    suited = [-chosen[axis.name].units % 64 for axis in VIT.axes if axis.kind != "attention"]
    assert sum(waste == 0 for waste in suited) >= 0.8 * len(suited)


def test_nonnegative_least_squares() -> None:
    draw = np.random.default_rng(0)
    values = draw.random((40, 6))
    wanted = np.array([0.0, 2.0, 0.0, 0.5, 0.0, 1e6])
    np.testing.assert_allclose(nonnegative(values, values @ wanted), wanted, rtol=1e-6, atol=1e-4)
    found = nonnegative(values, values @ np.array([1.0, -3.0, 1.0, 0.0, 0.0, 0.0]))
    slope = values.T @ (values @ found - values @ np.array([1.0, -3.0, 1.0, 0.0, 0.0, 0.0]))
    assert (found >= 0).all()
    assert (slope >= -1e-8).all()  # the Karush-Kuhn-Tucker conditions
    np.testing.assert_allclose(slope[found > 0], 0, atol=1e-8)
