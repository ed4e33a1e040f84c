"""Fixtures that several tests of the analysis share."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.drawing import style
from tests.analysis.factory import fine_tuned, shifted, write


@pytest.fixture
def only_png(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the formats that take most of the time."""
    monkeypatch.setattr(style, "KINDS", style.KINDS[:1])


@pytest.fixture
def agreeing(tmp_path: Path) -> Path:
    """Six trials of a budget whose order never changes, the worst last."""
    return write(tmp_path / "r", [fine_tuned(number, shifted(-number)) for number in range(6)])
