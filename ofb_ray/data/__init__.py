"""The registry of data sets: a name, a loader, and a check that reads nothing but folder names."""

from __future__ import annotations

from pathlib import Path

from ofb_ray.data import digits, folder
from ofb_ray.data.base import Dataset, Split
from ofb_ray.spec import DataSpec

SETS = {"digits": digits, "folder": folder}


def load(spec: DataSpec, cache: Path | None = None) -> Dataset:
    """The data set of a spec; what is costly to decode is shared through the folder `cache`."""
    return SETS[spec.name].load(spec, cache)


def check(spec: DataSpec) -> None:
    """Raises InputError where the data set's files are missing."""
    SETS[spec.name].check(spec)


__all__ = ["Dataset", "Split", "check", "load"]
