"""Stream a split: decode and augment its images again in every pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ofb_ray.config import DataSpec
from ofb_ray.data.base import Batch, EpochPlan, Part, epoch_order, own_part, parts
from ofb_ray.data.image_source import ImageSource, Tally
from ofb_ray.data.loader import Item, Loaded, Loader, PictureSamples
from ofb_ray.data.shifts import Shifts
from ofb_ray.data.transforms import MEAN, STD, erase, normalise, test_transform, train_transform
from ofb_ray.errors import InputError


@dataclass
class StreamSplit:
    """Images read from their files by worker processes; uint8 until they are on the device.

    The augmentation of an image is a function of the pass's seed and its position in the pass, so workers, ranks,
    micro-batches and a resume change nothing. An unreadable image is skipped in every pass anew, for ranks must agree
    on the order without communicating: its batch is smaller, and `tally` counts it.

    Args:
        workers: decoding processes; they start with the first pass and wait between passes.
    """

    pictures: ImageSource
    spec: DataSpec
    tally: Tally
    workers: int
    labels: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.labels = self.pictures.labels
        self._loader = self._make_loader()

    def __len__(self) -> int:
        return len(self.labels)

    def train_batches(self, plan: EpochPlan, device: torch.device) -> Iterator[Batch]:
        """See `Split`.

        Raises:
            InputError: too many images are unreadable, or all of one batch.
        """
        augment = self.spec.augment
        full = plan.augment and augment.kind == "imagenet"
        drawn_anew = plan.augment and self._draws
        order = epoch_order(len(self), plan.seed, augment.repeated if plan.augment else 1)
        generator = torch.Generator().manual_seed(plan.seed + 2)
        seeds = torch.randint(2**31, (len(order),), generator=generator)
        erased = torch.rand(len(order), generator=generator) < augment.erasing
        boxes = torch.randint(2**31, (len(order),), generator=generator).where(erased, -1)
        scheduled = list(parts(order, plan))
        positions = [_positions(part, plan) for part in scheduled]
        requests = [
            [
                Item(index, seed if drawn_anew else None)
                for index, seed in zip(part.indices.tolist(), drawn, strict=True)
            ]
            for part, drawn in zip(scheduled, (seeds[position].tolist() for position in positions), strict=True)
        ]
        shifts = Shifts(plan.seed, self.spec.image_size)
        for part, position, loaded in zip(scheduled, positions, self._loaded(requests, device), strict=True):
            images = loaded.images.to(device, non_blocking=True).float()
            if plan.augment and augment.kind == "crop_flip":
                images = shifts(images, part, loaded.kept)
            images = self._normalise(images)
            if full and augment.erasing:
                erase(images, boxes[position][loaded.kept])
            label = self.labels[part.indices[loaded.kept]].to(device, non_blocking=True)
            yield Batch(images, label, part.first, part.total, part.last)

    def test_batches(
        self, batch_size: int, device: torch.device, rank: int = 0, world: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Split`. A batch of unreadable images alone is left out.

        Raises:
            InputError: too many images are unreadable.
        """
        own = own_part(len(self), rank, world)
        batches = torch.split(own, batch_size) if len(own) else ()
        requests = [[Item(index, None) for index in part.tolist()] for part in batches]
        for part, loaded in zip(batches, self._loaded(requests, device, empty=True), strict=True):
            if len(loaded.kept):
                images = loaded.images.to(device, non_blocking=True).float()
                yield self._normalise(images), self.labels[part[loaded.kept]].to(device, non_blocking=True)

    def _make_loader(self) -> Loader:
        samples = PictureSamples(self.pictures, train_transform(self.spec), test_transform(self.spec))
        return Loader(samples, self.workers)

    @property
    def _draws(self) -> bool:
        """Whether what decodes a training image draws at random."""
        return self.spec.augment.kind == "imagenet"

    def _loaded(self, requests: list[list[Item]], device: torch.device, empty: bool = False) -> Iterator[Loaded]:
        for loaded in self._loader(requests, pinned=device.type == "cuda"):
            if loaded.failed:
                self.tally.add([(self.pictures.name(index), reason) for index, reason in loaded.failed])
            if not len(loaded.kept) and not empty:
                raise InputError(
                    f"no image of a batch can be read: {self.pictures.name(loaded.failed[0][0])} and others",
                    key="data.unreadable",
                )
            yield loaded

    def _normalise(self, images: Tensor) -> Tensor:
        return normalise(images, self.spec.mean or MEAN, self.spec.std or STD)


def _positions(part: Part, plan: EpochPlan) -> slice:
    """Return the positions of a part in its pass."""
    first = part.step * plan.batch_size + part.first
    return slice(first, first + len(part.indices))
