"""Split labelled images, and make batches that depend on seed and position in the pass, not on the workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


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
        class_names: printable, in the order of the labels; empty where they are not known.
    """

    train: Split
    val: Split
    test: Split
    classes: int
    channels: int
    unreadable: list[str] = field(default_factory=list)
    class_names: tuple[str, ...] = ()


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
