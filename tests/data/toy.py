"""Data sets of a user's own, as tests name them: `tests.data.toy:FUNCTION`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from ofb_ray.data.digits import bundled


class Toy(Dataset[tuple[Any, int]]):
    """Digits as a torchvision-style set: PIL images of one class in four, `targets`, a transform.

    Args:
        size: images. first: index of the first one. mode: of the PIL images.
    """

    def __init__(self, size: int = 120, first: int = 0, mode: str = "L", transform: Any = None) -> None:
        images, labels = bundled()
        chosen = (labels < 4).nonzero().flatten()[first : first + size]
        self.pixels, self.targets = (images[chosen] * 15).squeeze(1).numpy().astype(np.uint8), labels[chosen].tolist()
        self.mode, self.transform = mode, transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture = Image.fromarray(self.pixels[index]).convert(self.mode)
        return (self.transform(picture) if self.transform else picture), self.targets[index]


class Noisy(Toy):
    """A set whose images change each time they are read."""

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture, label = super().__getitem__(index)
        return Image.fromarray(np.asarray(picture) ^ np.random.randint(0, 255, (8, 8), dtype=np.uint8)), label


class Stream(IterableDataset[Any]):
    """No map-style dataset."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def as_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).copy())[None].float() / 255


def jittered(picture: Image.Image) -> Tensor:
    """A transform that draws."""
    return as_tensor(picture) + 0.1 * torch.randn(1)


def grey(size: int = 120) -> tuple[Toy, Toy]:
    return Toy(size), Toy(60, first=size)


def colour(size: int = 120, val: bool = False) -> tuple[Toy, ...]:
    parts = Toy(size, mode="RGB"), Toy(60, first=size, mode="RGB")
    return (parts[0], Toy(40, first=size + 60, mode="RGB"), parts[1]) if val else parts


def tensors(draw: bool = False) -> tuple[Toy, Toy]:
    transform = jittered if draw else as_tensor
    return Toy(transform=transform), Toy(60, first=120, transform=transform)


def pixels() -> tuple[TensorDataset, TensorDataset]:
    """uint8 tensors (1, 8, 8)."""
    sets = [Toy(), Toy(60, first=120)]
    one, two = (TensorDataset(torch.from_numpy(each.pixels)[:, None], torch.tensor(each.targets)) for each in sets)
    return one, two


def changing() -> tuple[Toy, Toy]:
    return Noisy(), Toy(60, first=120)


def mixed() -> tuple[Any, Any]:
    items = [(Image.new("RGB" if index % 2 else "L", (8, 8)), index % 3) for index in range(30)]
    return items, items


def mismatched() -> tuple[Toy, Toy]:
    return Toy(mode="RGB"), Toy(60, first=120)


def gap() -> tuple[Any, Any]:
    items = [(Image.new("L", (8, 8)), 2 * (index % 3)) for index in range(30)]
    return items, items


def negative() -> tuple[Any, Any]:
    items = [(Image.new("L", (8, 8)), -1) for _ in range(3)]
    return items, items


def worded() -> tuple[Any, Any]:
    items = [(Image.new("L", (8, 8)), "cat")]
    return items, items


def triples() -> tuple[Any, Any]:
    items = [(Image.new("L", (8, 8)), 0, "name")]
    return items, items


def arrays() -> tuple[Any, Any]:
    items = [(np.zeros((8, 8)), 0)]
    return items, items


def stream() -> tuple[Any, Any]:
    return Stream(), Stream()


def one() -> Toy:
    return Toy()


def empty() -> tuple[Any, Any]:
    return [], []


def failing() -> tuple[Any, Any]:
    raise RuntimeError("the disk\nis gone")


CONSTANT = 3
