"""An estimate is timed with the threads that a trial will have, and leaves torch's as they were."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ofb_ray.trial import time_estimate
from ofb_ray.trial.plan import plan
from tests.small import small_spec


def test_an_estimate_has_the_threads_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = torch.get_num_threads(), list[int]()
    real = time_estimate._seconds_per_image

    def timed(*args: Any) -> float:
        seen.append(torch.get_num_threads())
        return real(*args)

    monkeypatch.setattr(time_estimate, "_seconds_per_image", timed)
    spec = small_spec()
    found = time_estimate.estimate_on_device(spec, plan(spec), before + 1)
    assert seen == [before + 1] * 2
    assert torch.get_num_threads() == before
    assert found.trial > 0
