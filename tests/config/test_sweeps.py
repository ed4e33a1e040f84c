"""Every shipped sweep parses, and its dry run says what a machine without data and GPU lacks."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from analysis.paper.ablations import QUESTIONS
from analysis.tables import BUILDERS
from ofb_ray.cli import main
from ofb_ray.config.load import load_sweep
from ofb_ray.config.space import expand

SWEEPS = Path(__file__).parent.parent.parent / "sweeps"
ALL = sorted([*SWEEPS.glob("*.yaml"), *SWEEPS.glob("paper/*.yaml")])
IMAGENET = [file for file in ALL if "_imagenet" in file.stem]
MAKEFILE = (SWEEPS.parent / "Makefile").read_text()


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.stem)
def test_every_sweep_parses_and_is_named_after_its_file(file: Path) -> None:
    spec = load_sweep(file)
    assert spec.name == file.stem
    assert spec.question
    assert f"ofb-ray sweep {file.relative_to(SWEEPS).with_suffix('')}" in file.read_text()


@pytest.mark.parametrize("table", BUILDERS)
@pytest.mark.parametrize("scale", ["small", "full"])
def test_make_runs_the_sweeps_of_every_table(table: str, scale: str) -> None:
    said = subprocess.run(
        ["make", "-n", "-o", ".venv/.installed", f"table-{table}", f"SCALE={scale}", "DATA=there", "SET=a=1 b=2"],
        cwd=SWEEPS.parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    said = " ".join(said.split())
    files = re.findall(r"sweep sweeps/(\S+\.yaml) --set data.root=there --set a=1 --set b=2 ", said)
    specs = [load_sweep(SWEEPS / file) for file in files]
    assert specs
    results = " ".join(f"results/{spec.name}" for spec in specs)
    assert f"ofb-ray tables {results} --table {table}" in said
    assert all((spec.data.root is None) == (scale == "small" and table != "transfer") for spec in specs)
    if question := QUESTIONS.get(table):
        grid = [expand(key, value) for key, values in specs[0].grid.items() for value in values]
        assert {tuple(cell[key] for key in question.keys) for cell in grid} == set(question.rows)


def test_the_makefile_names_the_tables_that_there_are() -> None:
    assert re.findall(r"^TABLES := (.*)$", MAKEFILE, re.M) == [" ".join(BUILDERS)]


@pytest.mark.parametrize("file", IMAGENET, ids=lambda file: file.stem)
def test_dry_run_without_imagenet_and_without_a_gpu(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ofb_ray.backbones.weights.try_to_load_from_cache", lambda repository, file: None)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    spec = load_sweep(file)
    assert main(["sweep", str(file), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"{len(spec.cells)} trials" in out
    for budget in spec.budgets:
        assert budget.label in out
    assert "each 96 CPUs and 8 GPUs (8 workers)" in out
    days = re.search(r"GPU days: about ([\d.]+) in all", out)
    assert days is not None
    assert f"{days[1]} GPU days in all" in file.read_text()
    missing = [line for line in out.splitlines() if line.startswith("missing: ")]
    assert [line.split()[1] for line in missing] == ["data:", "weights:", "resources:"]
    assert list(tmp_path.iterdir()) == []


def test_the_same_sweep_without_dry_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(SWEEPS / "deit_tiny_imagenet.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "deit_tiny_imagenet.yaml"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match(r"ofb-ray: deit_tiny_imagenet.yaml:\d+: data.root: no such folder: .*imagenet", error)
    assert [path.name for path in tmp_path.iterdir()] == ["deit_tiny_imagenet.yaml"]
