"""Decode images once, into a file that all trials of a machine map, or into memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from ofb_ray.config import DataSpec
from ofb_ray.data.image_source import ImageSource, Tally
from ofb_ray.data.loader import Item, Loader, PictureSamples, cores
from ofb_ray.data.transforms import Transform, test_transform
from ofb_ray.errors import InputError

_BATCH = 64
# Below this, starting processes takes longer than decoding.
_FEW = 256
_TELL_SECONDS = 2.0


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_tell: ContextVar[Callable[[str], None]] = ContextVar("tell", default=_to_stderr)


@contextmanager
def decoding_told(to: Callable[[str], None]) -> Iterator[None]:
    """Have it told how far the decoding of images is, every two seconds, while something inside decodes any.

    Args:
        to: called with a line; outside it goes to stderr.
    """
    token = _tell.set(to)
    try:
        yield
    finally:
        _tell.reset(token)


class Stored(NamedTuple):
    """The readable images (n, 3, side, side) uint8 and their labels (n,)."""

    images: Tensor
    labels: Tensor


def common_side(pictures: ImageSource, largest: int, cache: Path | None) -> int | None:
    """Find the side of images that are all square and of one size; None where they are not.

    Reads headers, and stops at the first that differs. A broken header is left to the decoder.

    Args:
        largest: longest side to accept, in pixels.
        cache: folder that keeps the answer; None keeps none.
    """
    path = None if cache is None else cache / f"side-{_short(f'{pictures.key}|{largest}')}.json"
    if path is not None and path.exists():
        known: int | None = json.loads(path.read_text())
        return known
    side = _common_side(pictures, largest)
    if path is not None:
        _write(path, json.dumps(side).encode())
    return side


def _common_side(pictures: ImageSource, largest: int) -> int | None:
    sizes: set[tuple[int, int]] = set()
    for index in range(len(pictures.labels)):
        try:
            with pictures.read(index) as picture:
                sizes.add(picture.size)
        except Exception:  # `image_source.decode` names it.
            continue
        width, height = next(iter(sizes))
        if len(sizes) > 1 or width != height or width > largest:
            return None
    return next(iter(sizes))[0] if sizes else None


def stored(pictures: ImageSource, spec: DataSpec, native: bool, side: int, cache: Path | None, tally: Tally) -> Stored:
    """Decode images, or map what was decoded before; one process decodes while others wait.

    The file's name follows from the images' key (folder, times of its class folders, names of classes and labels),
    their choice, and how they are resized; beside it lies the list of unreadable images.

    Args:
        native: keep the pixels as they are; else the shortest side becomes image_size / crop pixels, of which the
            centre is kept.
        side: of the decoded images, in pixels.
        cache: folder of the files; None decodes into memory.
        tally: counts the unreadable images.
    Raises:
        InputError: more images are unreadable than allowed, and nothing is stored then, or all of a class.
    """
    transform: Transform = pil_to_tensor if native else test_transform(spec)
    if cache is None:
        images = torch.empty((len(pictures.labels), 3, side, side), dtype=torch.uint8)
        failed: dict[int, str] = {}
        done = 0
        for batch, lost in _decode(pictures, transform, spec.workers, tally.part):
            images[done : done + len(batch)] = batch
            failed |= lost
            done += len(batch)
        return _finished(images[:done], pictures, failed, tally)
    how = "native" if native else f"{side}|{spec.crop or 1.0}|{spec.interpolation}"
    path = cache / f"{tally.part}-{_short(f'{pictures.key}|{how}')}.bytes"
    facts = path.with_suffix(".json")
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not facts.exists():
            partial = path.with_suffix(".partial")
            try:
                failed = _to_file(partial, pictures, transform, spec.workers, tally)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            _write(facts, json.dumps({str(index): reason for index, reason in failed.items()}).encode())
        failed = {int(index): reason for index, reason in json.loads(facts.read_text()).items()}
    shape = (len(pictures.labels) - len(failed), 3, side, side)
    mapped = torch.from_file(str(path), shared=False, size=math.prod(shape), dtype=torch.uint8)
    return _finished(mapped.view(shape), pictures, failed, tally)


def _to_file(
    path: Path, pictures: ImageSource, transform: Transform, workers: int | None, tally: Tally
) -> dict[int, str]:
    failed: dict[int, str] = {}
    with open(path, "wb") as file:
        for batch, lost in _decode(pictures, transform, workers, tally.part):
            file.write(batch.numpy().tobytes())
            failed |= lost
        file.flush()
        os.fsync(file.fileno())
    tally.add(_named(pictures, failed))
    return failed


def _finished(images: Tensor, pictures: ImageSource, failed: dict[int, str], tally: Tally) -> Stored:
    tally.add(_named(pictures, failed))
    kept = torch.ones(len(pictures.labels), dtype=torch.bool)
    kept[list(failed)] = False
    labels = pictures.labels[kept]
    if gone := set(pictures.labels[~kept].tolist()) - set(labels.tolist()):
        index = next(index for index in sorted(failed) if int(pictures.labels[index]) in gone)
        raise InputError(
            f"all {tally.part} images of {len(gone)} class{'es' * (len(gone) > 1)} are unreadable, such as "
            f"{pictures.name(index)} ({failed[index]}): replace them, or remove the class",
            key="data.unreadable",
        )
    return Stored(images, labels)


def _named(pictures: ImageSource, failed: dict[int, str]) -> list[tuple[str, str]]:
    return [(pictures.name(index), reason) for index, reason in failed.items()]


def _decode(
    pictures: ImageSource, transform: Transform, workers: int | None, part: str
) -> Iterator[tuple[Tensor, dict[int, str]]]:
    """Yield batches (b, 3, side, side) in order, with the reasons of those left out by index; progress is told."""
    images = len(pictures.labels)
    processes = (cores() if workers is None else workers) if images >= _FEW else 0
    requests = [
        [Item(index, None) for index in range(first, min(first + _BATCH, images))] for first in range(0, images, _BATCH)
    ]
    start = told = time.monotonic()
    for count, loaded in enumerate(Loader(PictureSamples(pictures, transform, transform), processes)(requests), 1):
        yield loaded.images, dict(loaded.failed)
        now = time.monotonic()
        if now - told > _TELL_SECONDS:
            told, done = now, min(count * _BATCH, images)
            rest = (images - done) * (now - start) / done
            _tell.get()(f"decoded {done:,} of {images:,} {part} images, {rest:.0f} s left")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
