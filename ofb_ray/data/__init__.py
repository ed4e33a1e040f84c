"""The registry of data sets: a name, a loader, and facts that need no decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ofb_ray.data import digits, folder
from ofb_ray.data.base import Batch, Dataset, Facts, Pass, Split, steps
from ofb_ray.spec import DataSpec


class Source(Protocol):
    """A module that reads one kind of data set."""

    def load(self, spec: DataSpec, cache: Path | None = None) -> Dataset: ...

    def facts(self, spec: DataSpec) -> Facts: ...


SETS: dict[str, Source] = {"digits": digits, "folder": folder}


def load(spec: DataSpec, cache: Path | None = None) -> Dataset:
    """The data set of a spec; what is costly to decode is shared through the folder `cache`."""
    return SETS[spec.name].load(spec, cache)


def facts(spec: DataSpec) -> Facts:
    """Counts that need no decoding. Raises InputError where the data set's files are missing."""
    return SETS[spec.name].facts(spec)


__all__ = ["Batch", "Dataset", "Facts", "Pass", "Split", "facts", "load", "steps"]
