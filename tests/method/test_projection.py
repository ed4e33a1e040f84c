"""The budget's promise against enumeration of whole grids."""

from __future__ import annotations

import itertools
import random

import pytest

from ofb_ray.backbones import describe_backbone
from ofb_ray.config import ModelSpec, SpaceSpec
from ofb_ray.method import projection
from ofb_ray.method.axis import Width
from ofb_ray.method.chain import Candidates
from ofb_ray.method.cost import Term, cost, heads_of, units_of
from ofb_ray.method.projection import Goal, is_reachable, make_goal, project
from ofb_ray.trial.plan import meta_network


def grid(seed: int) -> tuple[tuple[Term, ...], dict[str, list[Width]]]:
    """One to three embeddings in a chain, none to three blocks on each, with random sizes and head counts."""
    rng = random.Random(seed)
    length = 1 + seed % 3
    blocks = {place: [f"b{place}.{block}" for block in range(rng.randint(0, 4 - length))] for place in range(length)}
    names = [name for place in range(length) for name in (f"embed.{place}", *blocks[place])]
    candidates = {
        name: sorted({Width(rng.choice((1, 2, 3)), rng.randint(1, 9)) for _ in range(rng.randint(1, 4))})
        for name in names
    }
    for inside in blocks.values():
        # Of every second grid some parts may go altogether.
        candidates |= {name: [Width(0, 0), *candidates[name]] for name in inside[: seed % 2 * len(inside)]}
    terms = [Term(rng.randint(1, 5), ("embed.0",)), Term(rng.randint(0, 9), ())]
    terms += [Term(rng.randint(1, 9), (f"embed.{place}", f"embed.{place + 1}")) for place in range(length - 1)]
    for place, inside in blocks.items():
        for name in inside:
            terms += [Term(rng.randint(1, 9), (f"embed.{place}", name)), Term(rng.randint(0, 5), (name,))]
            terms += [Term(rng.randint(0, 20), (heads_of(name),))]
    return tuple(terms), candidates


def all_networks(candidates: Candidates) -> list[dict[str, Width]]:
    return [dict(zip(candidates, sizes, strict=True)) for sizes in itertools.product(*candidates.values())]


@pytest.mark.parametrize("seed", range(300))
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


@pytest.mark.parametrize(
    "terms", [(Term(1, ("a", "b", "c")),), tuple(Term(1, pair) for pair in (("a", "b"), ("b", "c"), ("c", "a")))]
)
def test_a_cost_that_is_no_chain_is_refused(terms: tuple[Term, ...]) -> None:
    candidates = {name: [Width(1, 1), Width(1, 2)] for name in "abc"}
    with pytest.raises(ValueError, match="couples"):
        is_reachable(terms, candidates, 1, 2)


@pytest.mark.parametrize(
    ("name", "minimum"),
    [
        ("deit_small_patch16_224", 0.47),
        ("deit_base_patch16_224", 1.60),
        ("swin_tiny_patch4_window7_224", 0.46),
        ("swin_small_patch4_window7_224", 0.84),
        ("swin_base_patch4_window7_224", 1.44),
    ],
)
def test_minima_of_the_search_space(name: str, minimum: float) -> None:
    """Smallest reachable networks in GMACs: DeiT's as published for the released search space, Swin's our own."""
    backbone = describe_backbone(meta_network(ModelSpec(name=name)), SpaceSpec())
    sizes = {axis.name: axis.candidates[0] for axis in backbone.axes}
    assert round(cost(backbone.macs, units_of(sizes)) / 1e9, 2) == minimum


@pytest.mark.parametrize("resource", ["macs", "params"])
@pytest.mark.parametrize("ratio", [0.12, 0.2, 0.25, 0.37, 0.5, 0.75, 0.99, 1.0])
@pytest.mark.parametrize("name", ["deit_small_patch16_224", "swin_tiny_patch4_window7_224"])
def test_real_networks_reach_every_ratio_within_one_percent(name: str, ratio: float, resource: str) -> None:
    backbone = describe_backbone(meta_network(ModelSpec(name=name)), SpaceSpec())
    terms = backbone.macs if resource == "macs" else backbone.params
    target = int(ratio * cost(terms, units_of(backbone.widths)))
    candidates = {axis.name: axis.candidates for axis in backbone.axes}
    goal = make_goal(terms, candidates, target)
    assert not goal.note
    flat = {name: [0.0] * len(sizes) for name, sizes in candidates.items()}
    assert 0.99 * target <= cost(terms, units_of(project(goal, candidates, flat))) <= target


def test_a_rounded_grid_keeps_the_promise_and_nearly_the_best() -> None:
    """Costs without a common divisor, far more of them than bins: never above the target, at most 0.1 % worse."""
    rng = random.Random(0)
    candidates = {name: [Width(1, rng.randint(10**6, 10**8)) for _ in range(4)] for name in ("e", "f", "a", "b", "c")}
    terms = (Term(7, ("e", "a")), Term(5, ("e", "b")), Term(3, ("e", "f")), Term(11, ("f", "c")), Term(13, ("f",)))
    utility = {name: [width.width / 10**8 for width in sizes] for name, sizes in candidates.items()}
    networks = [(cost(terms, units_of(network)), network) for network in all_networks(candidates)]
    for target in (sorted(spent for spent, _ in networks)[place] for place in (3, 100, 500, 900, 1023)):
        goal = make_goal(terms, candidates, target)
        assert not goal.note
        found = project(goal, candidates, utility)
        assert goal.floor <= cost(terms, units_of(found)) <= target

        def value(network: dict[str, Width]) -> float:
            return sum(width.width / 10**8 for width in network.values())

        rivals = [value(network) for spent, network in networks if goal.floor <= spent <= 0.999 * target]
        assert value(found) >= max(rivals, default=0.0)


def test_a_chain_may_have_more_layers_than_python_has_frames() -> None:
    names = [f"block.{place}" for place in range(1500)]
    candidates = {"embed": [Width(1, 1), Width(1, 2)]} | {name: [Width(1, 1), Width(1, 2)] for name in names}
    terms = tuple(Term(1, ("embed", name)) for name in names)
    utility = {name: [0.0, float(name != "embed")] for name in candidates}
    goal = make_goal(terms, candidates, 4500)
    widths = project(goal, candidates, utility)
    assert cost(terms, units_of(widths)) == 4500
    assert sum(widths[name].width == 2 for name in names) == 750


def test_the_first_of_equal_networks_is_chosen() -> None:
    """Without any preference the smallest sizes that meet the goal win, whatever the order of equal candidates."""
    candidates = {"a": [Width(1, 4), Width(2, 2), Width(4, 1)], "b": [Width(1, 1), Width(1, 2)]}
    chosen = project(Goal((Term(10, ("a",)), Term(10, ("b",))), 60, 50), candidates, {"a": [0.0] * 3, "b": [0.0] * 2})
    assert chosen == {"a": Width(1, 4), "b": Width(1, 1)}


def test_a_limit_far_below_the_grid_costs_no_memory() -> None:
    """Costs without a common divisor, one of them a million millions times what the limit leaves."""
    candidates = {"a": [Width(1, 1), Width(1, 2), Width(1, 10**12)]}
    assert is_reachable((Term(3, ("a",)),), candidates, 6, 7)
    assert not is_reachable((Term(3, ("a",)),), candidates, 7, 8)
    assert make_goal((Term(3, ("a",)),), candidates, 1000).floor == 6


@pytest.mark.parametrize("name", ["deit_small_patch16_224", "swin_tiny_patch4_window7_224"])
def test_what_is_reachable_does_not_depend_on_the_bins(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a real grid, as a search leaves them: the coarse pass in front says what the fine ones say."""
    backbone = describe_backbone(meta_network(ModelSpec(name=name)), SpaceSpec())
    full = cost(backbone.macs, units_of(backbone.widths))
    for seed in range(8):
        rng = random.Random(seed)
        candidates = {axis.name: rng.sample(axis.candidates, 1 + rng.randrange(2)) for axis in backbone.axes}
        costs = [sum(rng.choice((0.4, 0.6)) for _ in range(2)) / 2 * full for _ in range(3)]
        answers = [is_reachable(backbone.macs, candidates, int(0.99 * target), int(target)) for target in costs]
        with monkeypatch.context() as patch:
            patch.setattr(projection, "_REACH_PASSES", projection._REACH_PASSES[1:])
            assert answers == [
                is_reachable(backbone.macs, candidates, int(0.99 * target), int(target)) for target in costs
            ]
