"""Fixtures that the tests of the report share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from analysis.report import build
from tests.browser import browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures out, which take most of the time: what is tested is the interactive front."""
    monkeypatch.setattr(build, "pictures", lambda results, folders: [])
