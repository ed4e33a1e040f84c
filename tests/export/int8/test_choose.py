"""The choice of layers: as few in float as it takes, by measured effect, within its time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ofb_ray.export.int8.choose import choose

LAYERS = ("a", "b", "c", "d")
# What each layer costs in points, and the error that is measured of it alone: of `c` more than it costs.
COSTS = {"a": 0.1, "b": 2.0, "c": 0.3, "d": 0.0}
ERRORS = {"a": 0.01, "b": 0.9, "c": 1.0, "d": 0.02}


def lost(nodes: Sequence[str]) -> float:
    return sum(COSTS[node] for node in nodes)


def test_all_layers_are_in_int8_where_that_costs_little_and_none_is_ranked() -> None:
    found = choose(LAYERS, lost, lambda layer: pytest.fail(f"ranked {layer}"), 2.5)
    assert (found.int8, found.float32, found.met, found.out_of_time) == (LAYERS, (), True, False)
    assert found.lost == pytest.approx(2.4)


def test_the_most_sensitive_layers_go_back_until_the_rest_is_good_enough() -> None:
    told: list[str] = []
    found = choose(LAYERS, lost, ERRORS.__getitem__, 0.5, show=told.append)
    assert (found.int8, found.float32, found.met) == (("a", "d"), (("c", 1.0), ("b", 0.9)), True)
    assert found.lost == pytest.approx(0.1)
    assert told[1] == "measuring layer 1 of 4 alone in int8"
    assert told[-1] == "2 of 4 layers in float, 2.10 points lost so far, 0.50 allowed"


def test_a_limit_leaves_out_layers_of_all_depths() -> None:
    layers, now = [f"{number}" for number in range(50)], [0.0]
    ranked: list[int] = []

    def error(layer: str) -> float:
        now[0] += 1
        ranked.append(int(layer))
        return 0.0

    choose(layers, lambda _: 40.0, error, 0.5, seconds=39.0, clock=lambda: now[0])
    assert len(ranked) == 20
    assert max(b - a for a, b in zip(sorted(ranked), sorted(ranked)[1:], strict=False)) <= 5
    assert {number % 4 for number in ranked} == {0, 1, 2, 3}


def test_what_cannot_be_met_is_said_and_the_best_is_kept_with_a_layer_in_int8() -> None:
    found = choose(LAYERS, lambda nodes: 40.0 - 10 * ("b" not in nodes), ERRORS.__getitem__, 0.5)
    assert (found.met, found.out_of_time, found.lost) == (False, False, 30.0)
    assert [layer for layer, _ in found.float32] == ["c", "b"]  # more of them gain nothing
    assert found.int8 == ("a", "d")


@pytest.mark.parametrize(
    ("each", "seconds", "kept", "out_of_time"),
    [(1.0, 8.0, 3, False), (1.0, 5.0, 3, True), (1.0, 2.0, 1, True), (3.0, 4.0, 1, True), (9.0, 4.0, 0, True)],
    ids=["enough", "not all are ranked", "few are put back", "one is ranked", "slow"],
)
def test_it_ends_in_time_with_the_best_so_far(each: float, seconds: float, kept: int, out_of_time: bool) -> None:
    now = [0.0]

    def after(value: float) -> float:
        now[0] += each
        return value

    found = choose(
        LAYERS,
        lambda nodes: after(40.0 + len(nodes)),
        lambda layer: after(ERRORS[layer]),
        0.5,
        seconds=seconds,
        clock=lambda: now[0],
    )
    assert (len(found.float32), found.out_of_time, found.met) == (kept, out_of_time, False)
