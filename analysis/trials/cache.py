"""Derive what is derived from results once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from analysis.trials.trial import Results

Derived = TypeVar("Derived")
_MEMORY = "_derived"  # attribute of the results that holds what was derived of them


def cached(function: Callable[[Results], Derived]) -> Callable[[Results], Derived]:
    """Remember what a function derives from `Results`, as long as these live. What it returns must not be changed.

    Tables, summary and figures ask for the same groups of the same trials; with thousands of them that is what takes
    the time. Results never change, but hold dictionaries, so that they cannot be keys: the memory is an attribute of
    theirs.
    """

    @wraps(function)
    def remembered(results: Results) -> Derived:
        memory: dict[str, Derived] = results.__dict__.setdefault(_MEMORY, {})
        key = f"{function.__module__}.{function.__qualname__}"
        if key not in memory:
            memory[key] = function(results)
        return memory[key]

    return remembered
