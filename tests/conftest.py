"""One thread for every test, and which tests stay together when several processes run them."""

from __future__ import annotations

import os
import signal

import pytest

# Small networks gain nothing from more threads, and lose much where cores are shared.
os.environ["OMP_NUM_THREADS"] = "1"
# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start would do so, too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests together that share a module's fixture, which would be made once for each process.

    Tests that start clusters of several nodes or on a fixed port are in the group `cluster`: one at a time.
    """
    for item in items:
        if isinstance(item, pytest.Function) and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))


def _group(item: pytest.Function) -> str | None:
    module = item.nodeid.partition("::")[0]
    if module.startswith("tests/cluster/"):  # others join by a mark
        return "cluster"
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    return module if any(fixture.scope == "module" for each in fixtures for fixture in each) else None
