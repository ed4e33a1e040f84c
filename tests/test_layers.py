"""Imports point one way (CONTRIBUTING.md, "Layers"), there is no circle in any folder, and importing is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Lowest first; a module may import from its own room and from rooms of the layers before it.
LAYERS = [
    {"ofb_ray.errors"},
    {"ofb_ray.inputs"},
    {"ofb_ray.method", "ofb_ray.config"},
    {"ofb_ray.results"},
    {"ofb_ray.backbones", "ofb_ray.data"},
    {"ofb_ray.train", "ofb_ray.calibration"},
    {"ofb_ray.search"},
    {"ofb_ray.export"},
    {"ofb_ray.latency"},
    {"ofb_ray.trial"},
    {"ofb_ray.tuning", "ofb_ray.library", "analysis"},
    {"ofb_ray.rerun", "ofb_ray.commands"},
    {"ofb_ray.cli"},
    {"ofb_ray.__main__"},
]
# Where a package of others may be imported; a package that is not named here may be imported anywhere.
ONLY_IN = {
    "ray": ("ofb_ray.tuning.ray",),
    "optuna": ("ofb_ray.tuning.optuna", "analysis.searches.importances"),
}
NEVER_IN = {
    "ofb_ray.method": ("timm", "torchvision", "pydantic", "ofb_ray.config"),
    "ofb_ray.config": ("torch", "timm", "torchvision"),
    "ofb_ray.results": ("torch", "timm", "torchvision"),
    "analysis": ("torch", "timm", "torchvision"),
}
# The analysis reads results; it knows nothing of training.
ANALYSIS_MAY = ("ofb_ray.errors", "ofb_ray.inputs", "ofb_ray.config.yaml12", "ofb_ray.results")


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(root: Path) -> dict[str, Path]:
    """All modules of both packages, by name."""
    return {name_of(path, root): path for folder in ("ofb_ray", "analysis") for path in (root / folder).rglob("*.py")}


@cache
def import_statements(source: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """All import statements of a source text, wherever they stand; read once for all copies of a file."""
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom)))


def imported(path: Path, known: Iterable[str]) -> Iterator[str]:
    """Every module that a file imports: inside functions and for type checking, too. Names of modules are resolved."""
    for node in import_statements(path.read_text()):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else node.module


def inside(module: str, *rooms: str) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def layer(module: str) -> int:
    for index, rooms in enumerate(LAYERS):
        if inside(module, *rooms):
            return index
    raise AssertionError(f"{module} has no layer: put its room into LAYERS")


def room(module: str) -> str:
    return next(name for rooms in LAYERS for name in rooms if inside(module, name))


def faults(root: Path) -> list[str]:
    """A line for each import that is not allowed, and for each circle."""
    found, known = [], modules(root)
    imports = {module: set(imported(path, known)) for module, path in known.items()}
    for module, others in imports.items():
        if module == "ofb_ray":  # the library's face: it imports what it offers when that is called
            continue
        for other in sorted(others):
            outside = other.split(".")[0]
            if outside in ONLY_IN and not inside(module, *ONLY_IN[outside]):
                found.append(f"{module} imports {other}")
            if any(inside(module, name) and inside(other, *names) for name, names in NEVER_IN.items()):
                found.append(f"{module} imports {other}")
            if outside not in ("ofb_ray", "analysis") or other in ("ofb_ray",):
                continue
            if inside(module, "analysis") and outside == "ofb_ray" and not inside(other, *ANALYSIS_MAY):
                found.append(f"{module} imports {other}")
            if room(module) != room(other) and layer(other) >= layer(module):
                found.append(f"{module} imports {other}, which is not below it")
    return [*found, *circles(imports)]


def circles(imports: Mapping[str, set[str]]) -> list[str]:
    """A line for each folder whose children import each other in a circle, children being files and folders."""
    found = []
    # The two packages as wholes may know each other (the command line prints an analysis): their rooms have layers.
    folders = {module.rpartition(".")[0] for module in imports} - {""}
    for folder in sorted(folders):
        graph: dict[str, set[str]] = {}
        for module, others in imports.items():
            if not module.startswith(f"{folder}."):
                continue
            child = child_of(module, folder)
            near = {child_of(other, folder) for other in others if other in imports and inside(other, folder)}
            graph.setdefault(child, set()).update(near - {child, folder})
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            found.append(f"a circle in {folder}: {' <- '.join(error.args[1])}")
    return found


def child_of(module: str, folder: str) -> str:
    """The child of `folder` that holds the module; the module itself where that is the folder's `__init__`."""
    depth = folder.count(".") + 1 if folder else 0
    return ".".join(module.split(".")[: depth + 1])


def test_imports_point_down_and_never_in_a_circle() -> None:
    assert faults(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("ofb_ray/method/cost.py", "from ofb_ray.config import SpaceSpec"),
        ("ofb_ray/config/base.py", "import torch"),
        ("ofb_ray/results/records.py", "def late() -> None:\n    from ofb_ray.tuning.execute import execute"),
        ("ofb_ray/backbones/base.py", "from ofb_ray.data import load"),
        ("ofb_ray/data/base.py", "from ofb_ray.backbones import base"),
        ("ofb_ray/train/run.py", "from ofb_ray.search import loop"),
        ("ofb_ray/search/supernet.py", "import ray"),
        ("ofb_ray/export/network.py", "from ofb_ray.trial import run"),
        ("ofb_ray/trial/run.py", "from ofb_ray.tuning.console import live"),
        ("ofb_ray/tuning/execute.py", "from analysis import read"),
        ("ofb_ray/tuning/execute.py", "import ray"),
        ("ofb_ray/tuning/prepare.py", "from ofb_ray.tuning.execute import execute"),
        ("ofb_ray/tuning/console/live.py", "from ofb_ray.tuning.ray import session"),
        ("analysis/trials/read.py", "from ofb_ray.trial.run import run_trial"),
        ("analysis/trials/read.py", "from analysis import pareto"),
        ("ofb_ray/rerun.py", "from ofb_ray.cli import main"),
    ],
)
def test_a_planted_import_is_found(file: str, line: str, tmp_path: Path) -> None:
    for module in modules(ROOT).values():
        copy = tmp_path / module.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(module.read_bytes())
    planted = tmp_path / file
    planted.write_text(f"{planted.read_text()}\n{line}\n")
    assert len(faults(tmp_path)) > len(faults(ROOT))


def test_few_files_lie_directly_in_the_package() -> None:
    assert len(list((ROOT / "ofb_ray").glob("*.py"))) <= 6


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, ofb_ray, ofb_ray.cli; print([m for m in ('torch', 'ray', 'optuna', 'timm') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


def test_files_are_small_enough_to_read() -> None:
    long = {name: lines for name, path in modules(ROOT).items() if (lines := len(path.read_text().splitlines())) > 330}
    assert not long
