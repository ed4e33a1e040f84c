"""A trial's int8 network as files: `model.int8.onnx` in its folder or store, and `int8.json`, which is written last."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofb_ray.errors import InputError
from ofb_ray.export.int8 import make_int8
from ofb_ray.export.int8.make import Int8
from ofb_ray.inputs import read_bytes
from ofb_ray.results.archs import read_arch
from ofb_ray.results.atomic import write_atomic
from ofb_ray.results.files import ARCH_FILE, RECORD_FILE, WEIGHTS_FILE
from ofb_ray.results.int8 import INT8_FILE, INT8_MODEL, Int8File, digest_of
from ofb_ray.results.locations import is_uri
from ofb_ray.results.records import Record
from ofb_ray.results.store import Remote, fetched

_MOST_BYTES = 1 << 31  # of an ONNX file
Document = dict[str, Any]


@dataclass(frozen=True)
class MadeInt8(Int8):
    """An int8 network and its times.

    Args:
        latency: as in `latency.json`; None was not measured.
    """

    latency: Document | None = None

    @property
    def tree(self) -> Document:
        """What `int8.json` holds."""
        known = {} if self.latency is None else {"latency": self.latency}
        return self.facts.model_dump(mode="json", exclude_unset=True) | known


def write_int8(location: str, int8: MadeInt8) -> None:
    """Write both files into a trial's folder or store. A reader sees old or new ones, or a hash that does not fit."""
    files = {INT8_MODEL: int8.model, INT8_FILE: json.dumps(int8.tree, indent=1).encode()}
    for name, data in files.items():
        if is_uri(location):
            Remote(location).write(name, data)
        else:
            write_atomic(Path(location) / name, data)


def check_writable(location: str) -> None:
    """Raises InputError where a trial's folder cannot take the files, before minutes are spent on them."""
    if not is_uri(location) and not os.access(location, os.W_OK):
        raise InputError(f"{INT8_FILE} cannot be written there: copy the trial first", file=location, key="--int8")


def int8_model(location: str, record: Record, show: Callable[[str], None]) -> bytes:
    """Return the int8 network of a trial: that beside its record, or one that is made now and put there.

    Args:
        location: its folder or URI.
    Raises:
        InputError: there is none and none can be made.
    """
    folder = fetched(location, (RECORD_FILE, ARCH_FILE, WEIGHTS_FILE, INT8_FILE, INT8_MODEL))
    known = Int8File.read(folder)
    if known is not None and (folder / INT8_MODEL).exists():
        model = read_bytes(folder / INT8_MODEL, _MOST_BYTES)
        if digest_of(model) == known.model_sha256 and digest_of(_weights(folder)) == known.weights_sha256:
            return model
    check_writable(location)
    made = make_int8(folder, record, read_arch(folder), show=show)
    write_int8(location, MadeInt8(made.model, made.facts))
    return made.model


def _weights(folder: Path) -> bytes:
    return read_bytes(folder / WEIGHTS_FILE, _MOST_BYTES)
