"""What a user gets from `python -m analysis.pareto`: five files and one screen of text, in every state of a sweep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.pareto import FrontOptions, analyse, analyse_all, main
from ofb_ray.results.records import Network, Record
from tests.analysis.factory import failed, record, write

FRONT = {"front.csv", "front.png", "front.pdf", "front.svg", "table.md", "table.tex"}


VOLUME = {"hypervolume.png", "hypervolume.pdf", "hypervolume.svg"}


MANY = [record(number, 0.1 + 0.05 * (number % 16), 90 + number % 9) for number in range(60)]


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
