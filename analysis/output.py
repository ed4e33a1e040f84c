"""Where the files of an analysis go, and how they get there: each whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from analysis.load import Results
from ofb_ray.errors import InputError
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.files import ANALYSIS_FOLDER
from ofb_ray.results.outage import explain
from ofb_ray.results.store import Remote, is_uri, join, parent, readable


def default_out(folders: Sequence[str | Path], results: Results) -> str | Path:
    """`analysis` in the only results folder, or beside the first of several."""
    place = folders[0] if len(results.folders) == 1 else parent(folders[0])
    return join(place, ANALYSIS_FOLDER) if isinstance(place, str) else place / ANALYSIS_FOLDER


def save(files: Mapping[str, bytes], out: str | Path) -> None:
    """Write the files by their names into a folder or under a URI, each atomically.

    Raises:
        InputError: they cannot be written there.
    """
    try:
        if is_uri(str(out)):
            remote = Remote(str(out))
            for name, data in files.items():
                remote.write(name, data)
        else:
            for name, data in files.items():
                write_atomic(Path(out) / name, data)
    except OSError as error:
        raise InputError(
            f"cannot write here ({error.strerror or explain(error)}); give another folder with --out", file=str(out)
        ) from None


def answer(make: Callable[[], str]) -> int:
    """What a command line does: print what `make` returns, or bad input as one line on stderr.

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
    """The text with URIs instead of their local copies, so that commands in it can be used."""
    for folder in folders:
        if is_uri(str(folder)):
            text = text.replace(str(readable(folder)), str(folder))
    return text
