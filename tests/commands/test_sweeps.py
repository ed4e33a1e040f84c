"""`ofb-ray sweeps` lists the shipped sweeps and prints one unchanged; `--version` names what numbers depend on."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

import ofb_ray
from ofb_ray.cli import main
from ofb_ray.config.load import load_sweep
from ofb_ray.config.shipped import shipped_sweep, shipped_sweeps


def test_each_sweep_is_listed_with_its_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweeps"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped_sweeps())
    assert all(line.endswith(f"  {load_sweep(line.split()[0]).question}") for line in lines)


def test_a_named_one_is_printed_as_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweeps", "paper/main_digits"]) == 0
    assert capsys.readouterr().out == shipped_sweep("paper/main_digits").read_text()


def test_the_version_names_what_numbers_depend_on_and_imports_none_of_it() -> None:
    check = (
        "import sys\n"
        "from ofb_ray.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*{'torch', 'timm', 'ray', 'optuna'} & set(sys.modules))"
    )
    line, imported = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert line.startswith(f"ofb-ray {ofb_ray.__version__} (Python 3.")
    assert all(f"{package} {metadata.version(package)}" in line for package in ("torch", "timm", "ray", "optuna"))
    assert imported == ""
