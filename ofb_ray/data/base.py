"""Split labelled images, and make batches that depend on seed and position in the pass, not on the workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Batch(NamedTuple):
    """The images that one worker runs at once: a part of one optimizer step.

    Args:
        image: (B, C, height, width) float, normalised, on the device.
        label: (B,) int64.
        first: index of its first image in the step.
        total: images of the step, over all workers.
        last: whether it is this worker's last part of the step.
    """

    image: Tensor
    label: Tensor
    first: int
    total: int
    last: bool

    @property
    def share(self) -> float:
        """Its share of the step's images: mean losses, each times its share, add up to the step's mean loss."""
        return len(self.label) / self.total


@dataclass(frozen=True)
class EpochPlan:
    """One pass over a training split, as one of `world` workers sees it.

    Args:
        batch_size: images per optimizer step, over all workers.
        seed: of order and augmentation.
        micro_batch: images that a worker runs at once; None: its whole part.
        rank: of this worker.
        world: number of workers.
        augment: whether images are augmented as the spec says, or shown as they are.
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
        """Count the images: a set decoded once leaves out unreadable ones, a stream counts and skips them."""
        ...

    def train_batches(self, plan: EpochPlan, device: torch.device) -> Iterator[Batch]:
        """Yield the batches of one pass, shuffled and augmented.

        A stream's batch lacks the images that turn out to be unreadable; its `first` and `total` count them.
        """
        ...

    def test_batches(
        self, batch_size: int, device: torch.device, rank: int = 0, world: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this worker's part of the images in order, normalised, (B, C, height, width), with labels (B,)."""
        ...


class Part(NamedTuple):
    """One worker's part of one step.

    Args:
        indices: of its images in the split.
        step: counted from 0.
        first, total, last: as in `Batch`.
    """

    indices: Tensor
    step: int
    first: int
    total: int
    last: bool


def steps(images: int, batch_size: int, world: int = 1) -> int:
    """Count the optimizer steps of a pass; a last, smaller batch counts if it has an image for every worker."""
    return images // batch_size + (images % batch_size >= world if images % batch_size else False)


def parts(order: Tensor, plan: EpochPlan) -> Iterator[Part]:
    """Yield the parts of a pass for worker `plan.rank`: contiguous in each step, cut evenly into micro-batches.

    Args:
        order: (N,) indices of the images, shuffled.
    """
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
    """Shuffle the indices of `images` images; with `repeated` > 1 copies follow each other and the length stays."""
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    return order.repeat_interleave(repeated)[:images]


def own_part(images: int, rank: int, world: int) -> Tensor:
    """Return the indices of the contiguous part of `images` images that one of `world` workers evaluates."""
    return torch.arange(images * rank // world, images * (rank + 1) // world)


@dataclass(frozen=True)
class Facts:
    """Counts of a data set that need no decoding. `train_images` includes the held-out share."""

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
        scale: value of a white pixel.
        mean: of each channel, subtracted from pixels / scale.
        std: of each channel, by which the difference is divided.
        size: side in pixels of the batches; images of another side are resized on the device.
        crop_flip: whether training images are shifted and mirrored.
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
            images = self.images[part.indices].to(device, non_blocking=True).float()
            if self.crop_flip and plan.augment:
                images = shifts(images, part)
            label = self.labels[part.indices].to(device, non_blocking=True)
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
    """Shifts images by up to an eighth of their side and mirrors them, drawn for a whole step at once.

    A worker's images therefore do not depend on the number of workers.

    Args:
        seed: of the pass.
        side: of the images, in pixels.
    """

    def __init__(self, seed: int, side: int) -> None:
        self._generator = torch.Generator().manual_seed(seed + 1)
        self._pad, self._step = max(1, side // 8), -1
        self._draws: tuple[Tensor, ...] = ()

    def __call__(self, images: Tensor, part: Part, kept: Tensor | None = None) -> Tensor:
        """Shift and mirror images.

        Args:
            images: (B, C, side, side).
            part: that they belong to.
            kept: (B,) their indices in the part; None: all of it.
        """
        while self._step < part.step:
            self._step += 1
            self._draws = self._draw(part.total)
        own = slice(part.first, part.first + len(part.indices))
        draws = [draw[own] if kept is None else draw[own][kept] for draw in self._draws]
        return crop_and_flip(images, self._pad, *draws)

    def _draw(self, count: int) -> tuple[Tensor, ...]:
        top = torch.randint(0, 2 * self._pad + 1, (count, 1, 1), generator=self._generator)
        left = torch.randint(0, 2 * self._pad + 1, (count, 1, 1), generator=self._generator)
        return top, left, torch.rand(count, 1, 1, generator=self._generator) < 0.5


def crop_and_flip(images: Tensor, pad: int, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Shift each image inside a frame of zeros, and mirror some.

    Args:
        images: (B, C, height, width).
        pad: width of the frame, in pixels.
        top: (B, 1, 1) int64 in [0, 2 pad], where the crop starts.
        left: likewise.
        flip: (B, 1, 1) bool, which are mirrored.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (pad,) * 4)
    rows = top + torch.arange(height)[None, :, None]
    columns = torch.arange(width)[None, None, :]
    columns = left + torch.where(flip, width - 1 - columns, columns)
    picture = torch.arange(count)[:, None, None]
    # Advanced indices around a slice put the channels last.
    return padded[picture.to(images.device), :, rows.to(images.device), columns.to(images.device)].permute(0, 3, 1, 2)


def stratified(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Hold out about `share` of every class, at least one image where a class has two.

    Args:
        labels: (N,) int64.
    Returns:
        Indices of the rest and of the held-out images, ascending.
    """
    generator = torch.Generator().manual_seed(seed)
    held: list[Tensor] = []
    for label in torch.unique(labels):
        indices = (labels == label).nonzero().flatten()
        indices = indices[torch.randperm(len(indices), generator=generator)]
        held.append(indices[: max(1, round(share * len(indices))) if len(indices) > 1 else 0])
    chosen = torch.cat(held).sort().values
    rest = torch.ones(len(labels), dtype=torch.bool)
    rest[chosen] = False
    return rest.nonzero().flatten(), chosen
