"""The search loop: when candidates die, how the budget steers, what the scores start from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.data import load
from ofb_ray.method.cost import cost, units_of
from ofb_ray.method.projection import is_reachable
from ofb_ray.search.budget_weight import BudgetWeight
from ofb_ray.search.loop import Problem, elimination_steps, search, start
from ofb_ray.search.pruning import eliminate, kept_shares, project_onto_budget
from ofb_ray.search.scores import init_scores
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.run import Run
from ofb_ray.trial.plan import goal_of, resolve_model
from tests.small import small_spec

CPU = torch.device("cpu")


def problem_of(**search_keys: Any) -> tuple[Supernet, Problem, list[dict[str, Any]], Run]:
    spec = small_spec(search={"epochs": 6, **search_keys})
    torch.manual_seed(0)
    net = create(resolve_model(spec))
    backbone = describe_backbone(net, spec.search.space)
    goal = goal_of(spec, backbone)
    problem = Problem(load(spec.data), spec.search, goal, cost(goal.terms, units_of(backbone.widths)))
    history: list[dict[str, Any]] = []
    return Supernet(net, backbone), problem, history, Run("search", 0, CPU, lambda row, _: history.append(row))


@pytest.mark.parametrize(("steps", "points"), [(10, 3), (3, 3), (2, 3), (1, 3), (100, 1), (7, 50)])
def test_elimination_steps_are_spread_and_end_with_the_epoch(steps: int, points: int) -> None:
    chosen = sorted(elimination_steps(steps, points))
    assert chosen[-1] == steps - 1
    assert chosen[0] >= 0
    assert len(chosen) == min(steps, points)
    gaps = [after - before for before, after in zip([-1, *chosen], chosen, strict=False)]
    assert max(gaps) - min(gaps) <= 1


def test_everything_is_decided_at_half_of_the_search_and_masking_ends() -> None:
    net, problem, history, run = problem_of()
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


@pytest.mark.parametrize("seed", range(8))
def test_no_elimination_makes_the_budget_unreachable(seed: int) -> None:
    net, problem, _, _ = problem_of()
    torch.manual_seed(seed)
    with torch.no_grad():
        for mask in net.undecided.values():
            mask.alpha_IJ.normal_(std=6.0)
    alive = eliminate(net, problem.goal, 0.9)
    candidates = net.candidates()
    for name, flags in alive.items():
        assert flags.any()
        sizes = net.undecided[name].axis.candidates
        candidates[name] = [size for size, flag in zip(sizes, flags.flatten().tolist(), strict=True) if flag]
    assert is_reachable(problem.goal.terms, candidates, problem.goal.floor, problem.goal.target)


def test_candidates_above_the_threshold_live() -> None:
    net, problem, _, _ = problem_of()
    name, mask = next(iter(net.undecided.items()))
    with torch.no_grad():
        for other in net.undecided.values():
            other.alpha_IJ.zero_()
        mask.alpha_IJ[0, 0] = -10.0
    alive = eliminate(net, problem.goal, 0.2)
    assert alive.keys() == {name}
    assert (~alive[name]).nonzero().tolist() == [[0, 0]]


def test_the_projection_follows_what_the_masks_keep() -> None:
    """An axis whose mass sits in few units is cut there rather than one whose units all count."""
    net, problem, _, _ = problem_of()
    with torch.no_grad():
        for name, mask in net.undecided.items():
            mask.alpha_IJ.zero_()
            mask.score_U.fill_(2.0)
            if name == "blocks.0.mlp":
                mask.score_U[32:] = -8.0
    alive = project_onto_budget(net, problem.goal, 1.0, "importance")
    chosen = {
        name: net.undecided[name].axis.candidates[int(flags.flatten().nonzero())] for name, flags in alive.items()
    }
    assert chosen["blocks.0.mlp"].width < chosen["blocks.1.mlp"].width
    shares = kept_shares(net.undecided["blocks.0.mlp"], 1.0, "importance")
    assert shares[0, -1] == pytest.approx(1.0)
    assert float(shares[0, 0]) > 0.99


def test_budget_weight_grows_while_it_misses_and_falls_back() -> None:
    weight = BudgetWeight(5.0, 5.0, 60)
    for _ in range(30):
        weight.steer(0.2)
    assert weight.value == pytest.approx(5000.0)
    weight.steer(-0.2)
    assert weight.value == 5000.0
    for _ in range(200):
        weight.steer(0.005)
    assert weight.value == 5.0


def test_taylor_scores_rank_a_useless_unit_last() -> None:
    net, problem, _, run = problem_of()
    params = dict(net.net.named_parameters())
    with torch.no_grad():
        params["blocks.0.mlp.fc2.weight"][:, 7] = 0.0  # unit 7 reaches nothing
        params["blocks.1.attn.proj.weight"][:, 8:16] = 0.0  # nor does head 1
    init_scores(net, problem.data.train, run)
    mlp, attention = net.undecided["blocks.0.mlp"].score_U, net.undecided["blocks.1.attn"].score_U.view(4, 8)
    assert int(mlp.argmin()) == 7
    assert int(attention.sigmoid().sum(dim=1).argmin()) == 1
    assert float(mlp.detach().mean()) == pytest.approx(2.5, abs=0.2)
