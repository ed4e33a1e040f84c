"""One screen of text says what was selected, how far to trust it and what failed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.fronts.found import found
from analysis.fronts.front_data import front_data
from analysis.fronts.objectives import objective
from analysis.output.terminal_summary import terminal_summary
from analysis.trials.read import read
from ofb_ray.results.records import Network
from tests.analysis.curves import curve
from tests.analysis.factory import DENSE, failed, record, write, write_open

FILES = ["front.csv", "front.pdf", "front.png", "front.svg", "hypervolume.pdf", "hypervolume.png", "hypervolume.svg"]
MANY = [record(number, 0.1 + 0.05 * (number % 16), 90 + number % 9) for number in range(60)]


def said(folder: Path) -> str:
    """The screen of `analyse` without its files, which take most of the time."""
    results = read([folder])
    what = front_data(results, objective("macs", results), objective("top1_val", results))
    return terminal_summary(results, folder / "analysis", what, [*FILES, "table.md", "table.tex"])


@pytest.fixture(autouse=True)
def _a_wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def line_with(text: str, start: str) -> list[str]:
    """The cells of the only line that starts so."""
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return re.split(r"\s{2,}", line)


def test_what_was_found_stands_first_below_the_question_and_then_the_table(tmp_path: Path) -> None:
    lines = said(write(tmp_path, curve(3))).splitlines()
    first, second = found(read([tmp_path]))
    assert lines[0] == "digits: How small?"
    assert " ".join(lines[1:3]) == first
    assert lines[3] == second
    assert lines[6].split()[:2] == ["budget", "trial"]
    assert all(len(line) <= 100 for line in lines[:4])


def test_the_selected_trial_of_each_budget_stands_beside_the_dense_network(tmp_path: Path) -> None:
    trials = [record(0, 0.25, 96.0), record(1, 0.25, 96.54, macs=249_000), record(2, 0.5, 98.0)]
    text = said(write(tmp_path / "digits", trials))
    assert line_with(text, "dense ") == ["dense", "-", "1.00 M", "1.000", "-", "205 K", "98.60", "98.20", "-"]
    assert line_with(text, "0.25 ") == ["0.25", "1", "249 K", "0.249", "99.6", "51.2 K", "96.54", "96.24", "-1.96"]
    assert f"ofb-ray export {tmp_path / 'digits' / '00002'} --to DIR" in text
    assert f"ofb-ray status {tmp_path / 'digits'}" in text


@pytest.mark.parametrize("columns", [120, 90, 80, 60])
def test_the_table_is_as_wide_as_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = said(write(tmp_path / "digits", [record(0, 0.25, 96.0), record(1, 0.5, 98.0)])).splitlines()
    (head,) = [line.split() for line in lines if line.startswith("budget ")]
    assert ("params" in head, "trial" in head) == (columns > 80, columns > 60)
    assert head[-2:] == ["vs", "dense"]
    assert {"budget", "MACs", "val", "test"} <= set(head)
    text = [line for line in lines if not line.startswith(("In ", "Next:", "     "))]
    assert all(len(line) <= min(columns, 100) for line in text)


def test_selection_ignores_test_accuracy_and_prefers_fewer_macs_among_equals(tmp_path: Path) -> None:
    flattering = Network(macs=499_000, params=1, top1_val=97.0, top1_test=99.9)
    trials = [record(0, 0.5, subnet=flattering), record(1, 0.5, 97.5), record(2, 0.5, 97.5, macs=496_000)]
    assert line_with(said(write(tmp_path, trials)), "0.5 ")[1] == "2"


def test_the_fullest_screen_still_fits(tmp_path: Path) -> None:
    trials = [*MANY, *(failed(number, 0.5, "x" * 300) for number in range(60, 70))]
    dense = [record(70 + size, dense=DENSE.model_copy(update={"macs": DENSE.macs + size})) for size in range(3)]
    folder = write(tmp_path, [*trials, *dense], question="why " * 200)
    for number in (0, 1):
        (folder / f"0000{number}" / "record.json").write_text("{")
    write_open(folder, 80, running=True)
    text = said(folder)
    assert len(text.splitlines()) <= 30
    assert "73 trials" not in text
    assert "74 trials: 61 finished, 10 failed, 1 running, 2 unreadable" in text


def test_failed_stopped_and_over_budget_trials_are_named_with_their_reason(tmp_path: Path) -> None:
    trials = [record(0), failed(1, 0.25, "the loss is nan"), record(2, macs=600_000)]
    text = said(write(tmp_path, trials))
    assert "Trial 1 (budget 0.25) failed: the loss is nan" in text
    assert "Trial 2 (budget 0.5) over budget" in text


def test_one_seed_gives_the_error_of_the_split_and_several_their_spread(tmp_path: Path) -> None:
    size = {"val_images": 400}
    text = said(write(tmp_path / "one", [record(0, 0.5, 90.0, environment=size)]))
    # sqrt(361 / 402 * 41 / 402 / 400) = 0.0151; two standard errors of a difference: 2 * sqrt(2) * 1.51 = 4.3.
    assert "One seed (0)" in text
    assert "1.5 points: differences below about 4.3 points" in " ".join(text.split())
    perfect = said(write(tmp_path / "perfect", [record(0, 0.5, 100.0, environment=size)]))
    assert "below about 0.0" not in perfect
    assert "standard error" not in said(write(tmp_path / "unknown", [record(0, 0.5, 90.0)]))
    seeds = [record(seed, 0.5, 90.0 + seed, seed=seed, params_explored={}) for seed in range(3)]
    text = " ".join(said(write(tmp_path / "three", seeds)).split())
    assert "3 seeds: equal settings differ by 1.00 points" in text


@pytest.mark.slow
def test_two_thousand_trials_fit_on_the_screen(tmp_path: Path) -> None:
    trials = [record(n, (0.25, 0.5)[n % 2], 90 + n % 9 + n / 1e4, seed=n % 3) for n in range(2000)]
    text = said(write(tmp_path, trials))
    assert len(text.splitlines()) <= 30
    assert "2000 trials: 2000 finished" in text
    assert "3 seeds" in line_with(text, "0.25 ")
