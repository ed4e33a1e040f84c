"""The search loop: when candidates die, when all is decided, how the network shrinks."""

from __future__ import annotations

import pytest

from ofb_ray.method.cost import cost, units_of
from ofb_ray.search.loop import elimination_steps, search, start
from tests.search.making import problem_of


@pytest.mark.parametrize(("steps", "points"), [(10, 3), (3, 3), (2, 3), (1, 3), (100, 1), (7, 50)])
def test_elimination_steps_are_spread_and_end_with_the_epoch(steps: int, points: int) -> None:
    chosen = sorted(elimination_steps(steps, points))
    assert chosen[-1] == steps - 1
    assert chosen[0] >= 0
    assert len(chosen) == min(steps, points)
    gaps = [after - before for before, after in zip([-1, *chosen], chosen, strict=False)]
    assert max(gaps) - min(gaps) <= 1


def test_everything_is_decided_at_half_of_the_search_and_masking_ends() -> None:
    net, problem, history, run = problem_of(recipe="paper")
    found = search(start(net, problem, run), problem, run)
    assert not found.net.undecided
    for row in history:
        if row["epoch"] > 4:  # it is decided at the first elimination point past half, inside epoch 4
            assert row["undecided"] == 0
            assert row["one_hot_loss"] == row["budget_loss"] == 0.0
    assert history[0]["reconstruction_loss"] > 0
    assert history[-1]["reconstruction_loss"] == 0.0
    spent = cost(problem.goal.terms, units_of(found.net.backbone.widths))
    assert problem.goal.floor <= spent <= problem.goal.target


def test_the_network_shrinks_while_it_trains() -> None:
    net, problem, history, run = problem_of(alpha_travel=30.0)
    found = search(start(net, problem, run), problem, run)
    sizes = [row["current_macs"] for row in history]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < problem.dense_cost
    assert {event["epoch"] for event in found.events if "projected" not in event} & {1, 2, 3}
