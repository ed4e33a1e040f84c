"""Ray starts in a thread of its own, and is ended by it."""

from __future__ import annotations

import time

import pytest
import ray

from ofb_ray.tuning.ray import ahead
from ofb_ray.tuning.ray.resources import Machine


def test_ray_of_the_next_launch_starts_when_that_of_the_last_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the end of the first would take the second with it: Ray knows one instance in a process."""
    done: list[str] = []

    def shutdown() -> None:
        done.append("ending")
        time.sleep(0.5)
        done.append("ended")

    def start(machine: Machine) -> str:
        done.append("started")
        return ""

    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(ahead, "start_local", start)
    monkeypatch.setattr(ahead, "_LATER", ())
    machine = Machine(cpus=1, gpus=0, slots=1)
    first = ahead.Ahead(machine)
    first.join()
    first.end()
    second = ahead.Ahead(machine)
    second.join()
    second.end(wait=True)
    assert done == ["started", "ending", "ended", "started", "ending", "ended"]
    assert not ahead.Ahead.running
