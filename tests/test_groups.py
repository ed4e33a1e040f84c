"""Tests of one group meet no other process: pytest-xdist and pytest fit together."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("any")
def test_the_scheduler_knows_a_test_by_its_group(request: pytest.FixtureRequest) -> None:
    """Versions that do not fit run grouped tests side by side, and say nothing."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("one process runs all tests")
    assert request.node.nodeid.endswith("@any")
