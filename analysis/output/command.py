"""Answer a command line: print the text, or one line of bad input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ofb_ray.errors import InputError
from ofb_ray.results.locations import is_uri
from ofb_ray.results.store import readable


def answer(make: Callable[[], str]) -> int:
    """Print what `make` returns, or bad input as one line on stderr.

    Returns:
        The exit code, 0 or 2. A reader that has seen enough (`| head`) is no error.
    """
    try:
        print(make(), flush=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def as_given(text: str, folders: Sequence[str | Path]) -> str:
    """Put URIs into the text instead of their local copies, so that commands in it can be used."""
    for folder in folders:
        if is_uri(str(folder)):
            text = text.replace(str(readable(folder)), str(folder))
    return text
