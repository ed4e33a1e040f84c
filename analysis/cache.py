"""What is derived from results is derived once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from analysis.load import Results

Made = TypeVar("Made")


def cached(function: Callable[[Results], Made]) -> Callable[[Results], Made]:
    """Remember what a function makes of `Results`, as long as these live. What it returns must not be changed.

    Table, screen and figures ask for the same groups of the same trials; with thousands of them that is what takes the
    time. Results never change and hold dictionaries, so they are their own memory: they cannot be a key.
    """

    @wraps(function)
    def remembered(results: Results) -> Made:
        memory: dict[str, Made] = results.__dict__.setdefault("_made", {})
        if function.__qualname__ not in memory:
            memory[function.__qualname__] = function(results)
        return memory[function.__qualname__]

    return remembered
