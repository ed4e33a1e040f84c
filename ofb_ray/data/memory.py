"""Hold the images of a split in memory, or map them from a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ofb_ray.data.base import Batch, EpochPlan, epoch_order, own_part, parts
from ofb_ray.data.shifts import Shifts


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
