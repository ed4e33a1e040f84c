"""Write the files of an analysis, each whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.trials.trial import Results
from ofb_ray.errors import InputError
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.files import ANALYSIS_FOLDER
from ofb_ray.results.locations import is_uri, join, parent
from ofb_ray.results.outage import explain
from ofb_ray.results.store import Remote


def default_out(folders: Sequence[str | Path], results: Results) -> str | Path:
    """Choose `analysis` in the only results folder, or beside the first of several."""
    within = folders[0] if len(results.folders) == 1 else parent(folders[0])
    return join(within, ANALYSIS_FOLDER) if isinstance(within, str) else within / ANALYSIS_FOLDER


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
