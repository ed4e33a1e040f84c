"""Where the importance scores start."""

from __future__ import annotations

import pytest
import torch

from ofb_ray.search.scores import init_scores
from tests.search.making import problem_of


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
