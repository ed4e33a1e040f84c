"""A split of float tensors that a user's transform has prepared: taken as they are, in every pass anew."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.utils.data import Dataset

from ofb_ray.data.image_source import Subset
from ofb_ray.data.items import Items, pair
from ofb_ray.data.loader import Item, Loader, Sample, seeded
from ofb_ray.data.stream import StreamSplit


@dataclass(frozen=True)
class _Tensors(Dataset[Sample]):
    """Items of a dataset, each seeded, so that a random transform is a function of (seed, index in the pass)."""

    source: Items
    indices: Tensor
    shape: tuple[int, ...]

    def __getitem__(self, item: Item) -> Sample:
        index = int(self.indices[item.index])
        with seeded(index if item.seed is None else item.seed):
            try:
                image = pair(self.source.dataset, index, self.source.part)[0]
                if not isinstance(image, Tensor) or tuple(image.shape) != self.shape:
                    shape = tuple(getattr(image, "shape", ()))
                    raise ValueError(f"its shape is {shape}, that of the first image {self.shape}")
            except Exception as error:  # whatever a user's code raises
                return item.index, str(error)
            return image.detach().float()


@dataclass
class PreparedSplit(StreamSplit):
    """Float tensors of a map-style dataset, neither resized nor normalised nor augmented here.

    Args:
        pictures: `Subset` of `Items`.
        shape: (C, height, width) that every image has.
    """

    shape: tuple[int, ...]

    def _make_loader(self) -> Loader:
        chosen = self.pictures
        assert isinstance(chosen, Subset)
        assert isinstance(chosen.pictures, Items)
        return Loader(_Tensors(chosen.pictures, chosen.indices, self.shape), self.workers)

    @property
    def _draws(self) -> bool:
        """The user's transform may draw in every pass."""
        return True

    def _normalise(self, images: Tensor) -> Tensor:
        return images
