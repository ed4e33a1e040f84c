"""`ofb-ray latency SWEEP --table FILE`: a table of a sweep's network, and no flag that is passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofb_ray import cli
from ofb_ray.latency.file import read_table


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--batch", "8"], "--batch: is the sweep's with --table: --set 'latency={batch: ...}'"),
        (["--backend", "torch"], "--backend: is the sweep's with --table"),
        (["--threads", "1"], "--threads: is the sweep's with --table"),
        (["--seconds", "5"], "--seconds: is the sweep's with --table"),
        (["scenes"], "--table: a table is of one network: give one sweep"),
    ],
)
def test_flags_that_say_nothing_here_are_refused(
    tmp_path: Path, flags: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["latency", "digits", *flags, "--table", str(tmp_path / "t.json")]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_set_without_a_table_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["latency", "somewhere", "--set", "latency={batch: 8}"]) == 2
    assert "--set: overrides a sweep's key for --table" in capsys.readouterr().err


def test_a_table_is_written_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def turns(net: Any, backbone: Any, sizes: Any, *_: Any) -> list[np.ndarray]:
        return [np.full(3, 1e-3 * sum(size.units for size in one.values())) for one in (backbone.widths, *sizes)]

    monkeypatch.setattr("ofb_ray.latency.turns.run_turns", turns)
    out = tmp_path / "t.json"
    assert cli.main(["latency", "digits", "--table", str(out), "--set", "latency={batch: 8, threads: 1}"]) == 0
    found = read_table(out)
    assert (found.batch, found.threads, found.networks) == (8, 1, 49)
    assert found.typical_error is not None
    assert found.typical_error < 0.01
    assert "batch 8, 1 threads" in capsys.readouterr().out
