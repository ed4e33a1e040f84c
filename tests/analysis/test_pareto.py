"""What a user gets from `python -m analysis.pareto`: five files and one screen of text, in every state of a sweep."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis import figures
from analysis.fronts.front_data import front_data
from analysis.fronts.objectives import objective
from analysis.fronts.selected_table import escape, human, latex, markdown, widths_summary
from analysis.output.terminal_summary import terminal_summary
from analysis.pareto import FrontOptions, analyse, analyse_all, main
from analysis.trials.read import read
from ofb_ray.results.records import Network, Record
from tests.analysis.factory import DENSE, failed, record, widths, write, write_open

FRONT = {"front.csv", "front.png", "front.pdf", "front.svg", "table.md", "table.tex"}
VOLUME = {"hypervolume.png", "hypervolume.pdf", "hypervolume.svg"}
MANY = [record(number, 0.1 + 0.05 * (number % 16), 90 + number % 9) for number in range(60)]


@pytest.fixture
def only_png(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the formats that take most of the time."""
    monkeypatch.setattr(figures, "KINDS", figures.KINDS[:1])


def said(folder: Path) -> str:
    """The screen of `analyse` without its files, which take most of the time."""
    results = read([folder])
    what = front_data(results, objective("macs", results), objective("top1_val", results))
    return terminal_summary(results, folder / "analysis", what, sorted(FRONT | VOLUME))


def line_with(text: str, start: str) -> list[str]:
    """The cells of the only line that starts so."""
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return re.split(r"\s{2,}", line)


def test_the_selected_trial_of_each_budget_stands_beside_the_dense_network(tmp_path: Path) -> None:
    trials = [record(0, 0.25, 96.0), record(1, 0.25, 96.54, macs=249_000), record(2, 0.5, 98.0)]
    text = said(write(tmp_path / "digits", trials))
    assert line_with(text, "dense ") == ["dense", "-", "1.00 M", "1.000", "-", "205 K", "98.60", "98.20", "-"]
    assert line_with(text, "0.25 ") == ["0.25", "1", "249 K", "0.249", "99.6", "51.2 K", "96.54", "96.24", "-1.96"]
    assert f"ofb-ray export {tmp_path / 'digits' / '00002'} --to DIR" in text
    assert f"ofb-ray status {tmp_path / 'digits'}" in text


def test_selection_ignores_test_accuracy_and_prefers_fewer_macs_among_equals(tmp_path: Path) -> None:
    flattering = Network(macs=499_000, params=1, top1_val=97.0, top1_test=99.9)
    trials = [record(0, 0.5, subnet=flattering), record(1, 0.5, 97.5), record(2, 0.5, 97.5, macs=496_000)]
    assert line_with(said(write(tmp_path, trials)), "0.5 ")[1] == "2"


@pytest.mark.parametrize(
    "trials",
    [[], [record(0)], [failed(0), failed(1, dense=None)], [failed(0, dense=None)], [record(0, top1=None)], MANY],
    ids=["none", "one", "failures", "failure without a dense network", "not measured", "many budgets"],
)
@pytest.mark.usefixtures("only_png")
def test_every_state_gives_all_files_and_one_screen(tmp_path: Path, trials: list[Record]) -> None:
    text = analyse(write(tmp_path / "r", trials))
    known = any(trial.subnet and trial.subnet.top1_val for trial in trials)
    expected = {"front.csv", "front.png", "table.md", "table.tex"} | ({"hypervolume.png"} if known else set())
    assert {path.name for path in (tmp_path / "r" / "analysis").iterdir()} == expected
    lines = text.splitlines()
    assert len(lines) <= 30
    assert all(len(line) <= 100 or str(tmp_path) in line for line in lines)
    assert text.isprintable() or "\x1b" not in text


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", [record(0)])
    line = f"{sys.executable} -m analysis.tables {folder} --out {tmp_path / 'out'} | true"
    answer = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert answer.stderr == ""


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


def test_files_do_not_depend_on_when_they_are_written(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", MANY[:2])
    analyse(folder, tmp_path / "a")
    analyse(folder, tmp_path / "b")
    assert {path.name for path in (tmp_path / "a").iterdir()} == FRONT | VOLUME
    assert (tmp_path / "a" / "front.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a" / "front.pdf").read_bytes().startswith(b"%PDF")
    for name in FRONT | VOLUME:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not (folder / "analysis").exists()


@pytest.mark.usefixtures("only_png")
def test_every_pair_has_files_of_its_own(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", MANY[:6])
    text = analyse_all([folder], options=FrontOptions("params", "top5_val"))
    # The factory has no top-5, so there is no hypervolume.
    files = {"front-top5_val-params.csv", "front-top5_val-params.png", "table.md", "table.tex"}
    assert {path.name for path in (folder / "analysis").iterdir()} == files
    assert "6 finished trials have no value of top5_val or params" in text


@pytest.mark.usefixtures("only_png")
def test_test_accuracy_on_an_axis_is_reported_and_never_selected_by(tmp_path: Path) -> None:
    lucky = Network(macs=490_000, params=1, top1_val=95.0, top1_test=99.9)
    folder = write(tmp_path / "r", [record(0, 0.5, 97.0), record(1, 0.5, subnet=lucky), record(2, 0.25, 96.0)])
    text = " ".join(analyse_all([folder], options=FrontOptions(y="top1_test")).split())
    assert "it is reported, not selected by" in text
    made = pd.read_csv(folder / "analysis" / "front-top1_test-macs.csv")
    assert dict(zip(made["trial"], made["on_front"], strict=True)) == {0: True, 1: False, 2: True}


@pytest.mark.slow
def test_two_thousand_trials_fit_on_the_screen(tmp_path: Path) -> None:
    trials = [record(n, (0.25, 0.5)[n % 2], 90 + n % 9 + n / 1e4, seed=n % 3) for n in range(2000)]
    text = said(write(tmp_path, trials))
    assert len(text.splitlines()) <= 30
    assert "2000 trials: 2000 finished" in text
    assert "3 seeds" in line_with(text, "0.25 ")


def test_latex_escapes_what_users_write(tmp_path: Path) -> None:
    results = read([write(tmp_path, [record(0)], question=r"Is 50% of a_b & \alpha{$x^2$} ~ #1?")])
    text = latex(results)
    assert r"Is 50\% of a\_b \& \textbackslash{}alpha\{\$x\textasciicircum{}2\$\} \textasciitilde{} \#1?" in text
    body = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert {line.count(" & ") for line in body} == {11}
    assert escape("a_b") == r"a\_b"


def test_markdown_has_equal_cells_in_every_line(tmp_path: Path) -> None:
    table = [line for line in markdown(read([write(tmp_path, [record(0)])])).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {13}
    assert "48 / 2.2 x 16 / 128" in table[-1]


def test_widths_and_numbers_are_written_short() -> None:
    assert widths_summary([widths(48)]) == "48 / 2.2 x 16 / 128"
    assert widths_summary([None]) == "-"
    assert [human(value) for value in (7, 999, 999.6, 1260, 99_960, 248_750, 999_600, 1.26e9)] == [
        "7",
        "999",
        "1.00 K",
        "1.26 K",
        "100 K",
        "249 K",
        "1.00 M",
        "1.26 G",
    ]


@pytest.mark.usefixtures("only_png")
def test_command_line_merges_folders_and_refuses_others_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(write(tmp_path / name, [record(0)], name=name)) for name in ("a", "b")]
    assert main([*folders, "--out", str(tmp_path / "out")]) == 0
    assert "a/0" in (tmp_path / "out" / "front.csv").read_text()
    assert "a 0.5" in capsys.readouterr().out
    assert main([str(tmp_path / "missing"), "--out", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(tmp_path / "missing") in error
    assert not (tmp_path / "new").exists()
    assert main([folders[0], "--x", "latency", "--y", "latency:torch:1", "--out", str(tmp_path / "new")]) == 2
    assert "--y: `latency:torch:1` is on the x axis already" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main([folders[0], "--out", folders[0] + "/sweep.yaml"]) == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--x", "flops"], "--x: `flops` is no objective; allowed: top1_val"),
        (["--y", "latency:tpu:1"], "latency:BACKEND:BATCH"),
        (["--rivals", "resnet"], "--rivals: no published results of `resnet`; allowed: deit, swin"),
        (["--rivals", "--y", "top1_val"], "allowed with --rivals: top1_test, top5_test"),
        (["--rivals", "--x", "latency"], "allowed with --rivals: macs, params"),
        (["--rivals", "--rivals-start", "nobody"], "--rivals-start: `nobody` is no class; allowed: all, plain"),
        (["--rivals-start", "plain"], "needs --rivals"),
    ],
)
def test_unknown_views_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], remedy: str
) -> None:
    folder = str(write(tmp_path / "r", [record(0)]))
    assert main([folder, *arguments, "--out", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert remedy in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_importing_the_analysis_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys, analysis.pareto; print({'torch', 'ray', 'optuna', 'timm', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
