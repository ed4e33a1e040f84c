"""The budget's promise against enumeration of whole grids."""

from __future__ import annotations

import itertools
import random

import pytest

from ofb_ray.backbones import describe
from ofb_ray.method.axis import Width
from ofb_ray.method.cost import Term, cost, units_of
from ofb_ray.method.projection import Candidates, Goal, is_reachable, make_goal, project
from ofb_ray.plan import meta_network
from ofb_ray.spec import ModelSpec, SpaceSpec


def grid(seed: int) -> tuple[tuple[Term, ...], dict[str, list[Width]]]:
    """Two blocks around an embedding, with random sizes."""
    rng = random.Random(seed)
    names = ["embed", "a0", "m0", "a1", "m1"]
    candidates = {
        name: sorted({Width(rng.choice((1, 2, 3)), rng.randint(1, 9)) for _ in range(rng.randint(1, 4))})
        for name in names
    }
    terms = [Term(rng.randint(1, 5), ("embed",)), Term(rng.randint(0, 9), ())]
    terms += [Term(rng.randint(1, 9), ("embed", name)) for name in names[1:]] + [Term(3, ("a0",)), Term(5, ("a1",))]
    return tuple(terms), candidates


def all_networks(candidates: Candidates) -> list[dict[str, Width]]:
    return [dict(zip(candidates, sizes, strict=True)) for sizes in itertools.product(*candidates.values())]


@pytest.mark.parametrize("seed", range(40))
def test_goal_and_projection_equal_enumeration(seed: int) -> None:
    terms, candidates = grid(seed)
    rng = random.Random(seed + 1000)
    costs = [cost(terms, units_of(network)) for network in all_networks(candidates)]
    target = rng.randint(min(costs), max(costs))
    goal = make_goal(terms, candidates, target)
    below = max(value for value in costs if value <= target)
    assert goal.floor == (-(-99 * target // 100) if below >= 0.99 * target else below)
    assert is_reachable(terms, candidates, goal.floor, goal.target)
    utility = {name: [rng.random() for _ in sizes] for name, sizes in candidates.items()}

    def value(network: dict[str, Width]) -> float:
        return sum(utility[name][candidates[name].index(width)] for name, width in network.items())

    chosen = project(goal, candidates, utility)
    assert goal.floor <= cost(terms, units_of(chosen)) <= target
    best = max(
        value(network)
        for network, spent in zip(all_networks(candidates), costs, strict=True)
        if goal.floor <= spent <= target
    )
    assert value(chosen) == pytest.approx(best)


def test_below_the_minimum_is_refused() -> None:
    terms, candidates = grid(0)
    smallest = min(cost(terms, units_of(network)) for network in all_networks(candidates))
    assert make_goal(terms, candidates, smallest).floor <= smallest
    with pytest.raises(ValueError, match="smallest network costs more"):
        make_goal(terms, candidates, smallest - 1)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="no network costs between"):
        project(Goal((Term(10, ("a",)),), 15, 11), {"a": [Width(1, 1), Width(1, 2)]}, {"a": [0.0, 0.0]})


@pytest.mark.parametrize(("name", "minimum"), [("deit_small_patch16_224", 0.47), ("deit_base_patch16_224", 1.60)])
def test_published_minima(name: str, minimum: float) -> None:
    """Smallest reachable networks of the released search space, in GMACs (README, limits)."""
    backbone = describe(meta_network(ModelSpec(name=name)), SpaceSpec())
    sizes = {axis.name: axis.candidates[0] for axis in backbone.axes}
    assert round(cost(backbone.macs, units_of(sizes)) / 1e9, 2) == minimum


@pytest.mark.parametrize("ratio", [0.11, 0.2, 0.25, 0.37, 0.5, 0.75, 0.99, 1.0])
def test_deit_small_reaches_every_ratio_within_one_percent(ratio: float) -> None:
    backbone = describe(meta_network(ModelSpec(name="deit_small_patch16_224")), SpaceSpec())
    target = int(ratio * cost(backbone.macs, units_of(backbone.widths)))
    candidates = {axis.name: axis.candidates for axis in backbone.axes}
    goal = make_goal(backbone.macs, candidates, target)
    assert not goal.note
    flat = {name: [0.0] * len(sizes) for name, sizes in candidates.items()}
    assert 0.99 * target <= cost(backbone.macs, units_of(project(goal, candidates, flat))) <= target
