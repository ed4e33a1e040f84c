"""What is packed: metadata, the tested pins within the ranges, a wheel that does the main job in an empty folder."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import ofb_ray

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RANGES = {need.name: need for need in map(Requirement, PROJECT["dependencies"])}
PINS = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines() if line[:1] not in "#"]
# Of the licence as it is published.
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
# A checkout that the tests run from must not stand in for the wheel.
CLEAN = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
SMALL = ("dense.epochs=2", "search.epochs=2", "finetune.epochs=1", "budgets=[0.5]", "trials=1")


def test_pins_and_ranges_name_the_same_packages() -> None:
    assert {pin.name for pin in PINS} == set(RANGES)


@pytest.mark.parametrize("pin", PINS, ids=str)
def test_a_pin_is_one_version_within_its_range(pin: Requirement) -> None:
    (only,) = pin.specifier
    assert only.operator == "=="
    assert RANGES[pin.name].specifier.contains(only.version)
    assert RANGES[pin.name].extras == pin.extras


def test_every_range_has_an_oldest_version_and_no_single_one() -> None:
    for need in RANGES.values():
        operators = {part.operator for part in need.specifier}
        assert ">=" in operators, need
        assert "==" not in operators, need


def test_the_licence_is_apache_2_unchanged() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    assert PROJECT["license"] == "Apache-2.0"


def test_the_citation_names_paper_and_software() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert str(citation["version"]) == ofb_ray.__version__
    assert citation["license"] == PROJECT["license"]
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("Once for Both")
    names = " ".join(author["family-names"] for author in paper["authors"])
    assert names == "Ye Yu Ye Xia Tang Lu Chen Zhang"


def test_the_changelog_has_a_heading_for_every_version_and_for_what_comes() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "Unreleased"
    assert len(set(headings)) == len(headings)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git has and without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, files):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out)]
    subprocess.run([*build, str(source)], check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_all_files_of_both_packages_the_sweeps_and_nothing_else(wheel: Path) -> None:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "ofb_ray", "analysis"]
    tracked = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    sweeps = [path.relative_to(ROOT / "sweeps") for path in (ROOT / "sweeps").rglob("*.yaml")]
    expected = {f"ofb_ray/shipped/{path}" for path in sweeps if path.parts[0] != "cluster"} | set(tracked)
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = archive.read(f"ofb_ray-{ofb_ray.__version__}.dist-info/METADATA").decode()
    assert names == expected
    assert "License-Expression: Apache-2.0" in metadata
    assert all(f"Requires-Dist: {name}" in metadata for name in RANGES)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin/ of a fresh environment with the wheel installed; the dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    target = next(folder.glob("lib/python*/site-packages"))
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, str(wheel)], env=CLEAN, check=True)
    others = next(path for path in sys.path if path.endswith("site-packages"))
    (target / "others.pth").write_text(f"{others}\n")  # a plain path: its own .pth files, editable ones, are not read
    return folder / "bin"


@pytest.mark.slow
def test_an_installed_wheel_does_the_main_job_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=CLEAN, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python, tool = str(installed / "python"), str(installed / "ofb-ray")
    where = run(python, "-c", "import ofb_ray, analysis; print(ofb_ray.__file__, analysis.__file__)").split()
    assert all(path.startswith(str(installed.parent)) for path in where)
    assert "\ndigits " in run(tool, "sweeps")
    assert run(tool, "sweeps", "digits") == (ROOT / "sweeps" / "digits.yaml").read_text()
    assert run(tool, "--version").startswith(f"ofb-ray {ofb_ray.__version__} ")
    assert list(tmp_path.iterdir()) == []
    run(tool, "sweep", "digits", *(part for override in SMALL for part in ("--set", override)))
    assert (tmp_path / "results" / "digits" / "00000" / "record.json").exists()
    run(python, "-m", "analysis.report", "results/digits")
    assert (tmp_path / "results" / "digits" / "analysis" / "report.html").exists()
