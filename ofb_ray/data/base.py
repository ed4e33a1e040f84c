"""Labelled images in memory, and batches that are a function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Split:
    """Images (N, C, height, width) uint8 and labels (N,) int64; `scale`, `mean`, `std` normalise on the way out."""

    images: Tensor
    labels: Tensor
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def steps(self, batch_size: int) -> int:
        """Batches per epoch; a last one that is not full counts."""
        return -(-len(self) // batch_size)

    def batches(
        self, batch_size: int, device: torch.device, shuffle_seed: int | None = None, augment: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised float images and labels on `device`; shuffled by `shuffle_seed`, in order without one."""
        order = torch.arange(len(self))
        generator = torch.Generator()
        if shuffle_seed is not None:
            order = torch.randperm(len(self), generator=generator.manual_seed(shuffle_seed))
        for index in torch.split(order, batch_size):
            images = self.images[index].to(device, non_blocking=True).float()
            if augment:
                images = crop_and_flip(images, generator)
            yield self.normalise(images), self.labels[index].to(device, non_blocking=True)

    def normalise(self, images: Tensor) -> Tensor:
        """Pixels / scale, then minus mean and over std of each channel."""
        shape = (1, -1, 1, 1)
        mean = images.new_tensor(self.mean).view(shape)
        return (images / self.scale - mean) / images.new_tensor(self.std).view(shape)


@dataclass(frozen=True)
class Facts:
    """What is known of a data set before it is decoded. `train_images` includes the held-out share."""

    train_images: int
    classes: int
    channels: int


@dataclass(frozen=True)
class Dataset:
    """Train, a held-out part of train that selects, and the test split that is read once, for the final row."""

    train: Split
    val: Split
    test: Split
    classes: int

    @property
    def channels(self) -> int:
        return int(self.train.images.shape[1])


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to an eighth of its side (zero padding) and mirror every second one, at random."""
    count, _, height, width = images.shape
    pad = max(1, height // 8)
    padded = F.pad(images, (pad,) * 4)
    top = torch.randint(0, 2 * pad + 1, (count, 1, 1), generator=generator)
    left = torch.randint(0, 2 * pad + 1, (count, 1, 1), generator=generator)
    flip = torch.rand(count, 1, 1, generator=generator) < 0.5
    rows = top + torch.arange(height)[None, :, None]
    columns = torch.arange(width)[None, None, :]
    columns = left + torch.where(flip, width - 1 - columns, columns)
    picture = torch.arange(count)[:, None, None]
    # Advanced indices around a slice put the channels last.
    return padded[picture.to(images.device), :, rows.to(images.device), columns.to(images.device)].permute(0, 3, 1, 2)


def stratified(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """(rest, held out): about `share` of every class is held out, at least one where a class has two."""
    generator = torch.Generator().manual_seed(seed)
    held: list[Tensor] = []
    for label in torch.unique(labels):
        places = (labels == label).nonzero().flatten()
        places = places[torch.randperm(len(places), generator=generator)]
        held.append(places[: max(1, round(share * len(places))) if len(places) > 1 else 0])
    chosen = torch.cat(held).sort().values
    rest = torch.ones(len(labels), dtype=torch.bool)
    rest[chosen] = False
    return rest.nonzero().flatten(), chosen
