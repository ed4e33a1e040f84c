"""A step is told before it begins: as a line in a log, with a clock on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from ofb_ray.tuning.console.steps import silent, step


def test_a_log_gets_a_line_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with step("planning [5] networks"):
        assert capsys.readouterr().out == "planning [5] networks\n"
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_a_clock_which_an_error_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(ValueError, match="bad"), step("planning [5] networks"):
        raise ValueError("bad")
    assert "planning [5] networks" in out.getvalue()
    assert "0:00:00" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")  # the line is erased


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with silent("planning"):
        pass
    assert capsys.readouterr().out == ""
