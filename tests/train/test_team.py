"""Several workers, one network: gloo processes on this machine."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.config import TrialSpec
from ofb_ray.data import load
from ofb_ray.errors import TrialFailed
from ofb_ray.method.cost import cost, units_of
from ofb_ray.search.calibrate import calibrate, calibration_images
from ofb_ray.search.loop import search, start
from ofb_ray.search.state import Problem, Search
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.checkpoint import optimizer_state
from ofb_ray.train.run import Run
from ofb_ray.train.supervised import fit
from ofb_ray.train.team import Team, current_team
from ofb_ray.trial.goal import goal_of
from ofb_ray.trial.plan import resolve_model
from tests.small import small_spec
from tests.workers import in_processes

CPU = torch.device("cpu")


def searched(spec: TrialSpec, team: Team) -> dict[str, Any]:
    """The state, losses and cut events of a whole search."""
    rows: list[dict[str, Any]] = []
    torch.manual_seed(0)
    net = create(resolve_model(spec))
    backbone = describe_backbone(net, spec.search.space)
    goal = goal_of(spec, backbone)
    data = load(spec.data)
    images = calibration_images(data.train, 64, CPU) if spec.search.parts.compensate else []
    dense_cost = cost(goal.terms, units_of(backbone.widths))
    problem = Problem(data, spec.search, goal, dense_cost, images=images)
    run = Run("search", 0, CPU, lambda row, state: rows.append(row), team)
    known = team.broadcast(calibrate(net, backbone, data.train, spec.search, run) if team.is_main else None)
    torch.manual_seed(0)
    found: Search = search(start(Supernet(net, backbone), problem, run, known), problem, run)
    moments = optimizer_state(found.optimizer, found.net)["moments"]
    gradients = {name: value["exp_avg"] for name, value in moments.items()}
    return {
        "tensors": found.net.state_dict(),
        "gradients": gradients,
        "rows": rows,
        "events": found.events,
        "net_changes": _cuts(found),
    }


def _cuts(found: Search) -> int:
    return len({(event["epoch"], event["output_gap"]) for event in found.events})


def fitted(spec: TrialSpec, team: Team) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    run = Run("finetune", 0, CPU, lambda row, state: None, team)
    return fit(create(resolve_model(spec)), load(spec.data), spec.finetune, run).state_dict()


def drifting(spec: TrialSpec, team: Team) -> str:
    torch.manual_seed(team.rank)
    try:
        current_team().check_equal(torch.nn.Linear(2, 2))
    except TrialFailed as error:
        return str(error)
    return ""


@pytest.mark.parametrize("recipe", ["calibrated", "paper"])
def test_ranks_stay_equal_bit_for_bit_through_many_cuts(recipe: str, tmp_path: Path) -> None:
    spec = small_spec(search={"epochs": 6, "alpha_travel": 12.0, "recipe": recipe, "doubt": 10.0})
    first, second = in_processes(searched, spec, tmp_path)
    assert first["net_changes"] >= 5
    assert first["rows"] == second["rows"]
    assert first["tensors"].keys() == second["tensors"].keys()
    for name, value in first["tensors"].items():
        assert torch.equal(value, second["tensors"][name]), name


def test_two_workers_take_the_steps_of_one(tmp_path: Path) -> None:
    """Three steps of the search, masked image modelling and an uneven last batch included."""
    changes = {"epochs": 1, "decide_by": 1.0, "eliminations_per_epoch": 1, "threshold": 1e-6, "recipe": "paper"}
    spec = small_spec(data={"train_limit": 75}, search=changes)
    alone = searched(spec, Team())
    shared = in_processes(searched, spec, tmp_path)[0]
    for key in ("loss", "one_hot_loss", "budget_loss", "reconstruction_loss"):
        assert shared["rows"][0][key] == pytest.approx(alone["rows"][0][key], rel=1e-4), key
    assert alone["rows"][0]["reconstruction_loss"] > 0
    for name, value in alone["tensors"].items():
        torch.testing.assert_close(shared["tensors"][name], value, rtol=1e-3, atol=2e-5, msg=name)
    # Adam hides a wrong scale of the gradients in the weights, not in its moments.
    for name, value in alone["gradients"].items():
        torch.testing.assert_close(shared["gradients"][name], value, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("world", [1, 2])
def test_micro_batches_take_the_steps_of_whole_batches(world: int, tmp_path: Path) -> None:
    whole = small_spec(finetune={"epochs": 1, "batch_size": 64}, data={"train_limit": 150})
    pieces = small_spec(finetune={"epochs": 1, "batch_size": 64, "micro_batch": 10}, data={"train_limit": 150})
    wanted = fitted(whole, Team())
    found = fitted(pieces, Team()) if world == 1 else in_processes(fitted, pieces, tmp_path)[0]
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_ranks_that_drift_apart_are_noticed(tmp_path: Path) -> None:
    answers = in_processes(drifting, small_spec(), tmp_path)
    assert all("drifted apart: weight" in answer for answer in answers)


def from_main(spec: TrialSpec, team: Team) -> tuple[int, int]:
    """What rank 0 alone makes, in longer than the others wait elsewhere; and what a collective after it gives."""

    def made() -> int:
        assert team.is_main
        time.sleep(2.0)
        return 7

    return team.from_main(made), team.world + team.broadcast(team.rank)


def impatient(spec: TrialSpec, team: Team) -> str:
    try:
        if team.is_main:
            time.sleep(3.0)
        team.broadcast(None)
    except RuntimeError:
        return "gave up"
    return "waited"


def test_rank_0_may_work_longer_than_the_others_wait(tmp_path: Path) -> None:
    short = timedelta(seconds=1)
    assert in_processes(from_main, small_spec(), tmp_path, timeout=short) == [(7, 2), (7, 2)]
    assert "gave up" in in_processes(impatient, small_spec(), tmp_path, timeout=short)


def test_a_team_of_one_needs_no_process_group() -> None:
    team, net = Team(), torch.nn.Linear(2, 2)
    assert team.is_main
    assert team.wrap(net) is net
    assert team.broadcast([3]) == [3]
    assert team.all_reduce_sum_(torch.ones(2)).tolist() == [1, 1]
    assert current_team() == team
