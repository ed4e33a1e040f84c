"""The line that shows one trial where there is no terminal."""

from __future__ import annotations

import pytest

from ofb_ray.tuning.console import report
from ofb_ray.tuning.console.report import TrialLine


def test_what_takes_long_within_a_phase_is_told_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with TrialLine() as line:
        line.show({"phase": "search", "message": "measuring sensitivities: 1 of 25 axes, 90 s left"})
        line.show({"phase": "search", "message": "measuring sensitivities: 2 of 25 axes, 86 s left"})
        monkeypatch.setattr(report, "_QUIET_SECONDS", -1.0)
        line.show({"phase": "search", "message": "measuring sensitivities: 3 of 25 axes, 82 s left"})
        line.show({"phase": "search", "epoch": 1})
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["search", "search:  measuring sensitivities: 3 of 25 axes, 82 s left"]
