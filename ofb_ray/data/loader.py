"""One DataLoader that outlives passes: its worker processes wait for the next list of items."""

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

from ofb_ray.data.image_source import Pictures, Unreadable, decode
from ofb_ray.data.transforms import Transform


class Item(NamedTuple):
    """What a worker is asked for: the image at a place, augmented by a seed, or as it is where the seed is None."""

    place: int
    seed: int | None


class Loaded(NamedTuple):
    """A batch on the host.

    Args:
        images: (b, 3, height, width) uint8, b <= the items asked for. kept: (b,) int64, their places in the request.
        failed: (place in the set, reason) of the unreadable ones.
    """

    images: Tensor
    kept: Tensor
    failed: list[tuple[int, str]]


# An image, or the place and reason of one that cannot be read.
Sample = Tensor | tuple[int, str]


@dataclass(frozen=True)
class PictureSamples(Dataset[Sample]):
    """Pictures, decoded and transformed: by `train` where an item has a seed, else by `test`."""

    pictures: Pictures
    train: Transform
    test: Transform

    def __getitem__(self, item: Item) -> Sample:
        try:
            picture = decode(self.pictures, item.place)
        except Unreadable as error:
            return item.place, str(error)
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
    """`seed_all` inside; what the generators were is put back."""
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
    kept = [place for place, sample in enumerate(samples) if isinstance(sample, Tensor)]
    images = [sample for sample in samples if isinstance(sample, Tensor)]
    failed = [sample for sample in samples if not isinstance(sample, Tensor)]
    stacked: Tensor = default_collate(images) if images else torch.empty(0, dtype=torch.uint8)
    return Loaded(stacked, torch.tensor(kept, dtype=torch.int64), failed)


def _ignore_interrupt(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the workers end with their loader, without a traceback each."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Loader:
    """Images of one set, decoded and transformed by worker processes.

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
        """Answers in the order of the requests.

        Raises:
            RuntimeError: a newer pass over this loader has begun, and this one goes on: their answers would mix.
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
                worker_init_fn=_ignore_interrupt,
                persistent_workers=self._workers > 0,
                pin_memory=pinned,
                # Its own, so that a pass draws nothing from the generator that dropout draws from.
                generator=torch.Generator(),
            )
        loaded = iter(self._loader)
        for _ in requests:
            # Without workers the images are made here, among the draws of dropout and the like.
            with contextlib.nullcontext() if self._workers else _kept_random_state():
                batch: Loaded = next(loaded)
            yield batch
            if own != self._pass:
                raise RuntimeError("two passes over one split at a time")


def cores() -> int:
    """CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
