"""Read from a sweep's YAML what the analysis needs: its name, its question, what it explores, its early stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ofb_ray.config.yaml12 import load as load_yaml
from ofb_ray.inputs import SWEEP_BYTES, read_text
from ofb_ray.results.files import SWEEP_FILE


@dataclass(frozen=True)
class ExploredRange:
    """The range of one explored parameter, or its `values` where it is a list; `limits` are (low, high)."""

    values: tuple[Any, ...] = ()
    limits: tuple[float, float] | None = None
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class SweepFile:
    """What the file states; empty where it states nothing.

    Args:
        ranges: of the parameters and of the grid, by dotted key.
        gate_epochs: fine-tune epochs before the early stop decides, None where the sweep has none.
    """

    name: str = ""
    question: str = ""
    ranges: Mapping[str, ExploredRange] = field(default_factory=dict)
    gate_epochs: int | None = None


def read_sweep_file(folder: Path) -> SweepFile:
    """Read the sweep of a results folder; an empty one where there is no file or the file is no mapping.

    Raises:
        InputError: it cannot be read, or is no YAML.
    """
    path = folder / SWEEP_FILE
    if not path.exists():
        return SweepFile()
    tree = _mapping(load_yaml(read_text(path, SWEEP_BYTES, "restore it"), str(path))[0])
    epochs = _mapping(_mapping(tree.get("scheduler")).get("gate")).get("epochs")
    grid = _mapping(tree.get("grid")).items()
    ranges = {key: ExploredRange(tuple(values)) for key, values in grid if isinstance(values, list)}
    ranges |= {key: _range(each) for key, each in _mapping(tree.get("parameters")).items() if isinstance(each, dict)}
    return SweepFile(
        name=str(tree.get("name") or ""),
        question=str(tree.get("question") or ""),
        ranges=ranges,
        gate_epochs=epochs if isinstance(epochs, int) else None,
    )


def _range(tree: dict[str, Any]) -> ExploredRange:
    low, high, values = tree.get("min"), tree.get("max"), tree.get("values")
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    limits = (float(low), float(high)) if numbers else None  # type: ignore[arg-type]
    listed = tuple(values) if isinstance(values, list) else ()
    return ExploredRange(listed, limits, bool(tree.get("log")), bool(tree.get("integer")))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
