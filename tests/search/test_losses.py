"""The losses of a search step."""

from __future__ import annotations

from typing import Any

import torch

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.config import SearchSpec
from ofb_ray.data import Batch
from ofb_ray.method.cost import cost, units_of
from ofb_ray.search.losses import SearchLosses
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.pruning import mask_utility, project_onto_budget, prune
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.run import Run
from ofb_ray.trial.goal import goal_of
from ofb_ray.trial.plan import resolve_model
from tests.small import small_spec

CPU = torch.device("cpu")


def test_mixing_begins_in_the_search_when_every_width_is_decided() -> None:
    """Undecided: a mixed batch would change the task loss of a fixed network; decided: it does."""
    spec = small_spec(search={"pmim": {"mode": "off"}})
    torch.manual_seed(0)
    net = create(resolve_model(spec))
    backbone = describe_backbone(net, spec.search.space)
    goal = goal_of(spec, backbone)
    full = cost(goal.terms, units_of(backbone.widths))
    supernet = Supernet(net, backbone).eval()
    run = Run("search", 0, CPU, lambda row, state: None)
    batch = Batch(torch.randn(16, 1, 8, 8), torch.arange(16) % 10, 0, 16, True)

    def loss(of: Supernet, **changes: Any) -> float:
        torch.manual_seed(0)
        search = SearchSpec.model_validate(spec.search.model_dump() | changes)
        return float(SearchLosses(of, search, goal, full, 10, run)(batch, 0, 0.5, 1.0)[0].detach())

    assert loss(supernet, mixup=0.8) == loss(supernet)
    optimizer = make_search_optimizer(supernet, spec.search, 10)
    decided = prune(
        supernet, optimizer, project_onto_budget(supernet, goal, mask_utility(supernet, goal, 0.1, "both")), 0.1
    ).net.eval()
    assert loss(decided, mixup=0.8) != loss(decided)
