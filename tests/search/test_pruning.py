"""Which candidates die, and what the projection onto the budget chooses."""

from __future__ import annotations

import pytest
import torch

from ofb_ray.method.projection import is_reachable
from ofb_ray.search.pruning import eliminate, kept_shares, mask_utility, project_onto_budget
from tests.search.making import problem_of


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
    alive = project_onto_budget(net, problem.goal, mask_utility(net, problem.goal, 1.0, "importance"))
    chosen = {
        name: net.undecided[name].axis.candidates[int(flags.flatten().nonzero())] for name, flags in alive.items()
    }
    assert chosen["blocks.0.mlp"].width < chosen["blocks.1.mlp"].width
    shares = kept_shares(net.undecided["blocks.0.mlp"], 1.0, "importance")
    assert shares[0, -1] == pytest.approx(1.0)
    assert float(shares[0, 0]) > 0.99
