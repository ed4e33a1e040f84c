"""Made-up curves: does the gate tell the end, what would it have stopped, and what would that have cost?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis import gate
from ofb_ray.config.yaml12 import dump
from tests.analysis import factory
from tests.analysis.factory import RISING, fine_tuned, shifted


def test_the_command_prints_a_table_json_and_csv(
    agreeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--epochs", "2", "--keep", "0.5", "--slots", "1", "--orders", "5", "--out", str(tmp_path / "out")]
    assert gate.main([str(agreeing), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(lines[-1])
    assert figures["agreement"][0] == {"epochs": 2, "budget": "0.5", "n": 6, "rho": pytest.approx(1)}
    (row,) = figures["replay"]
    assert (row["stopped_in_order"], row["best_lost_in_order"], row["volume_in_order"]) == (3, 0, 100)
    assert row["saved_in_order"] == pytest.approx(100 * 3 * 4 / (6 * 18), abs=1e-3)
    assert row["saved_low"] <= row["saved"] <= row["saved_high"]
    assert (tmp_path / "out" / "gate.csv").read_text().startswith("epochs,")
    assert gate.main([str(agreeing), *options]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures  # seeded


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--epochs", "4"], "no finished trial has more than 4 fine-tune epochs"),
        (["--epochs", "0"], "--epochs: must be at least 1"),
        (["--keep", "1"], "--keep: must lie between 0 and 1"),
    ],
)
def test_bad_input_is_one_line(
    agreeing: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert gate.main([str(agreeing), *options]) == 2
    assert says in capsys.readouterr().err


def test_a_gated_sweep_is_reported_and_not_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = [fine_tuned(n, RISING[:2], status="stopped", subnet=None, reason="gate") for n in (6, 7)]
    folder = factory.write(tmp_path / "r", [*(fine_tuned(number, shifted(-number)) for number in range(6)), *ended])
    assert gate.summary(folder) == []
    sweep = {"name": "digits", "scheduler": {"gate": {"epochs": 2, "keep": 0.5, "min_trials": 4}}}
    (folder / "sweep.yaml").write_text(dump(sweep))
    saved, sentence = gate.summary(folder)
    # Two trials, two epochs of 2 s each; six took 18 s and two took 14 s.
    assert saved.startswith("The gate stopped 2 of 8 trials and saved about 8 trial-seconds")
    assert "(6 % of" in saved
    assert "rank correlation 1.00 over 6 trials" in sentence
    assert gate.main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[-1])["replay"] == []
    assert "Only trials that went on have an end" in out
