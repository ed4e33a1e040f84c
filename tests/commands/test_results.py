"""`ofb-ray report | front | tables | inspect`: the commands of the analysis under short names, old spellings beside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import analysis.pareto
import analysis.report.__main__
import analysis.search
import analysis.tables
from analysis.names import TABLES
from analysis.paper.tables import BUILDERS
from analysis.trials.read import read, records
from analysis.trials.table import frame
from docs.tools.command_line import commands, parser_of
from ofb_ray import cli
from tests.analysis.factory import record, write

OLD = {
    "report": analysis.report.__main__.main,
    "front": analysis.pareto.main,
    "tables": analysis.tables.main,
    "inspect": analysis.search.main,
}


def a_sweep(folder: Path) -> Path:
    return write(folder, [record(0, 0.5), record(1, 0.3, 96.0)])


@pytest.mark.parametrize("name", OLD)
def test_the_old_spelling_takes_the_same_arguments(name: str) -> None:
    (old,) = commands(parser_of(OLD[name]))
    new = next(each for each in commands(parser_of(cli.main)) if each.name == f"ofb-ray {name}")
    assert old.options == new.options


@pytest.mark.parametrize("name", OLD)
def test_it_prints_and_writes_the_same(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = a_sweep(tmp_path / "s"), str(tmp_path / "out")
    assert cli.main([name, str(folder), "--out", out]) == 0
    new, files = capsys.readouterr().out, sorted(path.name for path in Path(out).iterdir())
    assert OLD[name]([str(folder), "--out", out]) == 0
    assert capsys.readouterr().out == new
    assert files
    assert sorted(path.name for path in Path(out).iterdir()) == files


@pytest.mark.parametrize("name", OLD)
def test_bad_input_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ofb-ray: ")
    assert error.endswith("there is no such folder; give a results folder, such as results/digits\n")
    assert error.count("\n") == 1


def test_the_command_line_knows_the_tables_that_there_are() -> None:
    assert tuple(BUILDERS) == TABLES


def test_the_parser_is_made_without_pandas_and_matplotlib() -> None:
    heavy = "('pandas', 'matplotlib', 'bokeh', 'scipy', 'numpy')"
    code = f"import sys, ofb_ray.cli; ofb_ray.cli._parser(); print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_folder_and_a_list_of_folders_are_read_alike(tmp_path: Path) -> None:
    one, two = a_sweep(tmp_path / "one"), a_sweep(tmp_path / "two")
    for given in (one, str(one), [one], (str(one),)):
        assert read(given).folders == (one,)
        assert len(frame(given)) == len(read([one]).trials)
        assert len(records(given)) == len(records([one]))
    assert len(frame([one, two])) == 2 * len(frame(one))
