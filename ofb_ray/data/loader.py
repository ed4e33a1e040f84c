"""Decode and transform images in worker processes that outlive a pass and wait for the next list of items."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from ofb_ray.data.image_source import ImageSource, Unreadable, decode
from ofb_ray.data.transforms import Transform


@dataclass(frozen=True)
class Item:
    """An image to load.

    Args:
        index: in its source.
        seed: of its augmentation; None applies the test transform.
    """

    index: int
    seed: int | None


class Loaded(NamedTuple):
    """A batch on the host.

    Args:
        images: (b, 3, height, width) uint8, b <= the items of the request.
        kept: (b,) int64, their indices in the request.
        failed: (index in the source, reason) of the unreadable ones.
    """

    images: Tensor
    kept: Tensor
    failed: list[tuple[int, str]]


# An image, or the index and reason of one that cannot be read.
Sample = Tensor | tuple[int, str]


@dataclass(frozen=True)
class PictureSamples(Dataset[Sample]):
    """ImageSource, decoded and transformed: by `train` where an item has a seed, else by `test`."""

    pictures: ImageSource
    train: Transform
    test: Transform

    def __getitem__(self, item: Item) -> Sample:
        try:
            picture = decode(self.pictures, item.index)
        except Unreadable as error:
            return item.index, str(error)
        if item.seed is None:
            return self.test(picture)
        seed_all(item.seed)
        return self.train(picture)


def seed_all(seed: int) -> None:
    """Seed every generator that transforms draw from; no CUDA call, which a forked process must not make."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all generators inside, and restore their states afterwards."""
    with _kept_random_state():
        seed_all(seed)
        yield


@contextlib.contextmanager
def _kept_random_state() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _collate(samples: list[Sample]) -> Loaded:
    kept = [index for index, sample in enumerate(samples) if isinstance(sample, Tensor)]
    images = [sample for sample in samples if isinstance(sample, Tensor)]
    failed = [sample for sample in samples if not isinstance(sample, Tensor)]
    stacked: Tensor = default_collate(images) if images else torch.empty(0, dtype=torch.uint8)
    return Loaded(stacked, torch.tensor(kept, dtype=torch.int64), failed)


def _ignore_sigint(worker: int) -> None:
    """Ignore Ctrl-C in a worker: it reaches all processes of a terminal, and each would print a traceback.

    Workers end with their loader.
    """
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Loader:
    """Loads images of one set in worker processes.

    The workers are forked where torch does so by default: they run Pillow and timm's transforms on the CPU and never
    touch CUDA, so a process that holds a GPU may fork them. They live until the loader is collected.

    Args:
        samples: indexed by `Item`.
        workers: processes; 0 decodes in this one.
    """

    def __init__(self, samples: Dataset[Sample], workers: int) -> None:
        self._samples, self._workers = samples, workers
        self._requests: list[list[Item]] = []
        self._loader: DataLoader[Sample] | None = None
        self._pass = 0

    def __call__(self, requests: list[list[Item]], pinned: bool = False) -> Iterator[Loaded]:
        """Load batches, in the order of the requests.

        Args:
            requests: the items of each batch.
            pinned: put images into page-locked memory, from which copies to a GPU are asynchronous.
        Raises:
            RuntimeError: a newer pass over this loader has begun, and this one goes on: their batches would mix.
        """
        self._requests[:] = requests
        self._pass += 1
        own = self._pass
        if self._loader is None:
            self._loader = DataLoader(
                self._samples,
                batch_sampler=self._requests,
                num_workers=self._workers,
                collate_fn=_collate,
                worker_init_fn=_ignore_sigint,
                persistent_workers=self._workers > 0,
                pin_memory=pinned,
                # Its own, so that a pass draws nothing from the generator that dropout draws from.
                generator=torch.Generator(),
            )
        loaded = iter(self._loader)
        for _ in requests:
            # Without workers the images are decoded here, among the draws of dropout and the like.
            with contextlib.nullcontext() if self._workers else _kept_random_state():
                batch: Loaded = next(loaded)
            yield batch
            if own != self._pass:
                raise RuntimeError("two passes over one split at a time")


def cores() -> int:
    """Count the CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
