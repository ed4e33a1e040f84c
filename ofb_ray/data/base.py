"""Labelled images, and batches that are a function of (seed, place in the pass): the same for any number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Batch(NamedTuple):
    """What one worker runs at once: a part of the images of one optimizer step.

    Args:
        image: (B, C, height, width) float, normalised, on the device. label: (B,) int64.
        first: the place of its first image in the step; total: images of the step, over all workers.
        last: it is this worker's last part of the step.
    """

    image: Tensor
    label: Tensor
    first: int
    total: int
    last: bool

    @property
    def share(self) -> float:
        """Its share of the step's images: mean losses times this add up to the step's mean loss."""
        return len(self.label) / self.total


@dataclass(frozen=True)
class EpochPlan:
    """One pass over a training split, as one of `world` workers sees it.

    Args:
        batch_size: images per optimizer step, over all workers.
        seed: decides order and augmentation.
        micro_batch: images that a worker runs at once; None: its whole part.
        augment: as the data set's spec says; False shows the images as they are.
    """

    batch_size: int
    seed: int
    micro_batch: int | None = None
    rank: int = 0
    world: int = 1
    augment: bool = True


class Split(Protocol):
    """A part of a data set."""

    def __len__(self) -> int:
        """Images. Unreadable ones are left out of a set decoded once; a stream counts them, and skips them anew."""
        ...

    def train_batches(self, plan: EpochPlan, device: torch.device) -> Iterator[Batch]:
        """The batches of one pass, shuffled and augmented.

        A stream's batch lacks the images that turn out to be unreadable; its `first` and `total` count them.
        """
        ...

    def test_batches(
        self, batch_size: int, device: torch.device, rank: int = 0, world: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """This worker's part of the images in order, normalised, and their labels."""
        ...


class Part(NamedTuple):
    """Places in a split: one worker's part of one step. `step` counts from 0; the rest as in `Batch`."""

    places: Tensor
    step: int
    first: int
    total: int
    last: bool


def steps(images: int, batch_size: int, world: int = 1) -> int:
    """Optimizer steps of a pass. A last batch that is not full counts if it has an image for every worker."""
    return images // batch_size + (images % batch_size >= world if images % batch_size else False)


def parts(order: Tensor, plan: EpochPlan) -> Iterator[Part]:
    """The parts of a pass for worker `plan.rank`: contiguous in each step, cut evenly into micro-batches."""
    for step in range(steps(len(order), plan.batch_size, plan.world)):
        index = order[step * plan.batch_size : (step + 1) * plan.batch_size]
        low, high = (len(index) * rank // plan.world for rank in (plan.rank, plan.rank + 1))
        # As many pieces on every rank, or a collective inside a piece would wait for ever; none of them is empty.
        pieces = min(-(-len(index) // (plan.world * (plan.micro_batch or len(index)))), len(index) // plan.world)
        bounds = [low + (high - low) * piece // pieces for piece in range(pieces + 1)]
        for piece in range(pieces):
            first, end = bounds[piece], bounds[piece + 1]
            yield Part(index[first:end], step, first, len(index), piece == pieces - 1)


def epoch_order(images: int, seed: int, repeated: int = 1) -> Tensor:
    """A shuffle of the images; with `repeated` > 1 copies stand side by side and the pass keeps its length."""
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    return order.repeat_interleave(repeated)[:images]


def own_part(images: int, rank: int, world: int) -> Tensor:
    """The contiguous part of `images` that one of `world` workers evaluates."""
    return torch.arange(images * rank // world, images * (rank + 1) // world)


@dataclass(frozen=True)
class Facts:
    """What is known of a data set before it is decoded. `train_images` includes the held-out share."""

    train_images: int
    classes: int
    channels: int


@dataclass(frozen=True)
class Dataset:
    """Train, a held-out part of train that selects, and the test split that is read once, for the final row.

    Args:
        test: `NoSplit` where there is none; accuracies on it are then unknown.
        unreadable: the images that could not be read so far, by name; it grows while images are streamed.
    """

    train: Split
    val: Split
    test: Split
    classes: int
    channels: int
    unreadable: list[str] = field(default_factory=list)


class NoSplit:
    """A split without an image."""

    def __len__(self) -> int:
        return 0

    def train_batches(self, plan: EpochPlan, device: torch.device) -> Iterator[Batch]:
        """See `Split`."""
        return iter(())

    def test_batches(
        self, batch_size: int, device: torch.device, rank: int = 0, world: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Split`."""
        return iter(())


@dataclass(frozen=True)
class MemorySplit:
    """Images (N, C, height, width) uint8 in memory or mapped, and labels (N,) int64.

    Args:
        scale, mean, std: pixels / scale, minus mean, over std of each channel.
        size: side in pixels on the way out; images of another side are resized on the device.
        crop_flip: training images are shifted and mirrored.
        interpolation: of the resize.
    """

    images: Tensor
    labels: Tensor
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    crop_flip: bool = False
    interpolation: str = "bicubic"

    def __len__(self) -> int:
        return len(self.labels)

    def train_batches(self, plan: EpochPlan, device: torch.device) -> Iterator[Batch]:
        """See `Split`."""
        shifts = Shifts(plan.seed, self.images.shape[-1])
        for part in parts(epoch_order(len(self), plan.seed), plan):
            images = self.images[part.places].to(device, non_blocking=True).float()
            if self.crop_flip and plan.augment:
                images = shifts(images, part)
            label = self.labels[part.places].to(device, non_blocking=True)
            yield Batch(self._prepare(images), label, part.first, part.total, part.last)

    def test_batches(
        self, batch_size: int, device: torch.device, rank: int = 0, world: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Split`."""
        for index in torch.split(own_part(len(self), rank, world), batch_size):
            if len(index):
                images = self.images[index].to(device, non_blocking=True).float()
                yield self._prepare(images), self.labels[index].to(device, non_blocking=True)

    def _prepare(self, images: Tensor) -> Tensor:
        if images.shape[-1] != self.size:
            mode = {"nearest": "nearest-exact", "bilinear": "bilinear"}.get(self.interpolation, "bicubic")
            smooth = mode != "nearest-exact"
            images = F.interpolate(images, (self.size, self.size), mode=mode, antialias=smooth).clamp(0, self.scale)
        shape = (1, -1, 1, 1)
        mean = images.new_tensor(self.mean).view(shape)
        return (images / self.scale - mean) / images.new_tensor(self.std).view(shape)


class Shifts:
    """Shifts by up to an eighth of the side and mirrors, drawn for a whole step: the same for any number of workers.

    Args:
        seed: of the pass. side: of the images, pixels.
    """

    def __init__(self, seed: int, side: int) -> None:
        self._generator = torch.Generator().manual_seed(seed + 1)
        self._pad, self._step = max(1, side // 8), -1
        self._draws: tuple[Tensor, ...] = ()

    def __call__(self, images: Tensor, part: Part, kept: Tensor | None = None) -> Tensor:
        """Shift (B, C, side, side) images, those at the places `kept` of the part (None: all of it)."""
        while self._step < part.step:
            self._step += 1
            self._draws = self._draw(part.total)
        own = slice(part.first, part.first + len(part.places))
        draws = [draw[own] if kept is None else draw[own][kept] for draw in self._draws]
        return crop_and_flip(images, self._pad, *draws)

    def _draw(self, count: int) -> tuple[Tensor, ...]:
        top = torch.randint(0, 2 * self._pad + 1, (count, 1, 1), generator=self._generator)
        left = torch.randint(0, 2 * self._pad + 1, (count, 1, 1), generator=self._generator)
        return top, left, torch.rand(count, 1, 1, generator=self._generator) < 0.5


def crop_and_flip(images: Tensor, pad: int, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Shift each image inside a frame of `pad` zeros to (top, left) and mirror it where `flip`; all (B, 1, 1)."""
    count, _, height, width = images.shape
    padded = F.pad(images, (pad,) * 4)
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
