"""Calibrate a network once, and keep what was found beside it for all trials of a sweep."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ofb_ray.backbones.base import Backbone
from ofb_ray.config import SearchSpec
from ofb_ray.config.base import Json, digest
from ofb_ray.data import Split
from ofb_ray.export import tensors
from ofb_ray.results.atomic import write_atomic
from ofb_ray.search.calibrate import Calibration, Progress, calibrate
from ofb_ray.train.run import Run

# Raised when the same spec would measure something else.
_VERSION = 1
# Beside the axes of an unfinished calibration: the hash of what they were measured on.
_OF = "of"


def shared_calibration(
    dense: nn.Module,
    backbone: Backbone,
    split: Split,
    spec: SearchSpec,
    run: Run,
    folder: Path,
    progress: Progress,
) -> Calibration:
    """Load the calibration of a dense network from `folder`, else make it there; rank 0 does, and tells the others.

    Args:
        dense: trained, on the CPU; it stays as it is. In a chain it is what the budget above has left.
        folder: of the dense network, or of the one trial of a chain that needs it.
        progress: see `sensitivities`; of the process that measures.
    """
    path = _path(folder, spec)

    def made() -> dict[str, Tensor]:
        with FileLock(_lock(path)):
            if not path.exists():
                new = calibrate(dense, backbone, split, spec, run, progress, lambda begun: _Measured(path, begun))
                write_atomic(path, save(_plain(new)))
            _partial(path).unlink(missing_ok=True)
            return load_file(path)

    return _calibration(dense, run.team.from_main(made))


def remove_calibration(folder: Path, spec: SearchSpec) -> None:
    """Remove the calibration that `shared_calibration` has made in a folder, if it has."""
    path = _path(folder, spec)
    for each in (path, _partial(path), _lock(path)):
        each.unlink(missing_ok=True)


class _Measured(dict[str, Tensor]):
    """Divergences by axis, kept in a file as they come: a trial that is killed meanwhile goes on after the last one.

    Args:
        path: of the whole calibration.
        begun: of which they are; what the file has of another network, be it by a bit, is not taken.
    """

    def __init__(self, path: Path, begun: Calibration) -> None:
        self._path = _partial(path)
        self._of = torch.tensor(list(hashlib.sha256(save(_plain(begun))).digest()), dtype=torch.uint8)
        with contextlib.suppress(OSError, SafetensorError):
            kept = load_file(self._path)
            super().__init__(kept if torch.equal(kept.pop(_OF, torch.empty(0)), self._of) else {})

    def __setitem__(self, axis: str, delta: Tensor) -> None:
        super().__setitem__(axis, delta)
        write_atomic(self._path, save({**self, _OF: self._of}))


def _path(folder: Path, spec: SearchSpec) -> Path:
    return folder / f"calibration-{_key(spec)}.safetensors"


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _key(spec: SearchSpec) -> str:
    parts = spec.parts
    facts: Json = {"images": spec.calibration_images, "canonical": parts.canonical, "sensitivity": parts.sensitivity}
    if parts.sensitivity:
        facts |= {"space": spec.space.model_dump(mode="json")}
    return digest({"version": _VERSION, **facts})


def _plain(known: Calibration) -> dict[str, Tensor]:
    """One flat mapping of contiguous tensors."""
    parts = {"net": tensors(known.net), "score": known.scores, "delta": known.deltas}
    return {f"{part}/{name}": value.contiguous() for part, named in parts.items() for name, value in named.items()}


def _calibration(dense: nn.Module, plain: Mapping[str, Tensor]) -> Calibration:
    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in plain.items() if name.startswith(prefix)}

    net = copy.deepcopy(dense)
    net.load_state_dict(part("net/"))
    return Calibration(net, part("score/"), part("delta/"))
