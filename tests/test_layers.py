"""Imports point one way (CONTRIBUTING.md, "Layers"), and importing the package is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Lowest first; a module may import from its own layer and from those before it.
LAYERS = [
    {"ofb_ray.errors", "ofb_ray.address", "ofb_ray.outages"},
    {"ofb_ray.method", "ofb_ray.spec", "ofb_ray.records", "ofb_ray.yaml12"},
    {"ofb_ray.storage"},
    {"ofb_ray.leases"},
    {"ofb_ray.explored", "ofb_ray.specfile", "ofb_ray.measure"},
    {"ofb_ray.backbones", "ofb_ray.data"},
    {"ofb_ray.supernet", "ofb_ray.weights"},
    {"ofb_ray.pruning"},
    {"ofb_ray.train"},
    {"ofb_ray.export", "ofb_ray.plan", "ofb_ray.environment"},
    {"ofb_ray.dense"},
    {"ofb_ray.trial"},
    {"ofb_ray.local"},
    {"ofb_ray.tuning"},
    {"ofb_ray.again"},
    {"ofb_ray.cli"},
    {"ofb_ray.__main__"},
]
# Outside of tuning, and only when it is asked for numbers: Optuna's parameter importances.
OPTUNA_TOO = {("analysis.searches.importances", "optuna")}
MODULES = sorted(path for folder in ("ofb_ray", "analysis") for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports at run time, inside functions too."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and isinstance(branch.test, ast.Name) and branch.test.id == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module: str) -> int | None:
    for index, names in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return index
    return None


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path) != "ofb_ray"], ids=name_of)
def test_imports_point_down(path: Path) -> None:
    module = name_of(path)
    own = layer(module)
    assert own is not None or module.startswith("analysis"), f"{module} has no layer: put it into LAYERS"
    for other in imported(path):
        outside = other.split(".")[0]
        if outside in ("ray", "optuna"):
            assert module.startswith("ofb_ray.tuning") or (module, outside) in OPTUNA_TOO, f"{module} imports {other}"
        if module.startswith("ofb_ray.method"):
            assert outside not in ("timm", "torchvision", "pydantic"), f"{module} imports {other}"
        if module.startswith("analysis"):
            assert outside not in ("torch", "timm", "ray"), f"{module} imports {other}"
            allowed = ("ofb_ray.records", "ofb_ray.errors", "ofb_ray.yaml12", "ofb_ray.storage", "ofb_ray.outages")
            assert outside != "ofb_ray" or other == "ofb_ray" or other.startswith(allowed), f"{module} imports {other}"
        elif own is not None and (other_layer := layer(other)) is not None:
            assert other_layer <= own, f"{module} imports {other}, which is above it"


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, ofb_ray, ofb_ray.cli; print([m for m in ('torch', 'ray', 'optuna', 'timm') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


def test_files_are_small_enough_to_read() -> None:
    long = {name_of(path): lines for path in MODULES if (lines := len(path.read_text().splitlines())) > 330}
    assert not long
