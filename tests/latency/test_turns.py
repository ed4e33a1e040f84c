"""Networks are timed a few at a time against the dense one; runs that other work disturbed are made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from ofb_ray.config import LatencySpec
from ofb_ray.latency import measure as measuring
from ofb_ray.latency import turns
from ofb_ray.latency.design import checks
from ofb_ray.method.axis import Widths
from tests.latency.test_fit import VIT, device

NET = torch.nn.Identity()  # only run_turns looks at it, and that is replaced
Slow = Mapping[int, float]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("ofb_ray.latency.turns.time.monotonic", lambda: now[0])
    return now


def machine(slow: Slow, now: list[float], seconds: float = 1.0) -> Callable[..., list[np.ndarray]]:
    """Runs of `seconds`; in those of `slow` the dense network takes so much longer, and others half of that."""
    count = iter(range(10_000))

    def run_turns(net: Any, backbone: Any, sizes: Sequence[Widths], *rest: Any) -> list[np.ndarray]:
        factor = slow.get(next(count), 1.0)
        now[0] += seconds
        times = [factor * device(VIT, VIT.widths, 16)]
        times += [(1 + factor) / 2 * device(VIT, one, 16) for one in sizes]
        return [np.full(3, each) for each in times]

    return run_turns


def timed(count: int, seconds: float = 100.0, told: list[str] | None = None) -> turns.Timed:
    show = (lambda _: None) if told is None else told.append
    spec, sizes = LatencySpec(seconds=seconds), checks(VIT, count)
    return turns.time_all(NET, VIT, sizes, spec, (3, 224, 224), torch.device("cpu"), least=5, show=show)


def exact(count: int) -> dict[int, float]:
    dense = device(VIT, VIT.widths, 16)
    return {place: device(VIT, one, 16) / dense for place, one in enumerate(checks(VIT, count))}


def test_a_quiet_machine_times_each_network_once(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr(turns, "run_turns", machine({0: 1.03}, clock))
    found = timed(23)
    assert (found.repeated, found.disturbed, sorted(found.ratios)) == (0, frozenset(), list(range(23)))
    assert found.dense_seconds == device(VIT, VIT.widths, 16)


def test_disturbed_runs_are_made_again(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    told: list[str] = []
    monkeypatch.setattr(turns, "run_turns", machine({0: 1.3, 2: 1.1, 5: 1.2}, clock))  # the fifth is the first again
    found = timed(23, told=told)
    assert (found.repeated, found.disturbed) == (3, frozenset())
    assert found.ratios == pytest.approx(exact(23))
    assert told[1] == "measuring latency: 5 of 23 networks, 4 s left"
    assert told[-1] == "measuring latency: 5 networks again, as the machine was busy, at most 93 s left"


def test_what_stays_disturbed_is_marked(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr(turns, "run_turns", machine(dict.fromkeys([1, *range(5, 100)], 1.5) | {9: 1.2}, clock))
    found = timed(25)
    assert found.disturbed == frozenset(range(5, 10))
    assert found.repeated == 3


def test_no_run_is_made_again_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr(turns, "run_turns", machine({1: 1.5}, clock, seconds=10.0))
    assert timed(25, seconds=59.0).repeated == 0
    assert sorted(timed(25, seconds=25.0).ratios) == list(range(10))
    assert sorted(timed(25, seconds=1.0).ratios) == list(range(5))


@pytest.mark.parametrize(("slow", "networks"), [(range(3), 49 - 12), ((0, 1, 2, 4, 6, 8, 10), 49)])
def test_tables_are_fitted_to_quiet_runs(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], slow: Sequence[int], networks: int
) -> None:
    """Three disturbed runs of twelve are left out; seven are too many to leave out."""
    monkeypatch.setattr(turns, "run_turns", machine(dict.fromkeys([*slow, *range(12, 99)], 1.2), clock))
    monkeypatch.setattr(turns, "_TRIES", 1)
    known = measuring.measure(NET, VIT, LatencySpec(), (3, 224, 224), lambda _: None)
    assert known.networks == networks
    assert (known.large_error < 0.01) == (networks < 49)
