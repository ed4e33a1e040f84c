"""Small image folders whose pictures can be told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ofb_ray.data.base import Batch, EpochPlan, Split
from ofb_ray.data.memory import MemorySplit

CPU = torch.device("cpu")


def picture(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    """Coarse noise in colour: every crop of it looks different."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def make_folder(
    root: Path, train: int = 10, test: int = 3, size: tuple[int, int] = (40, 30), ending: str = "png", held: str = "val"
) -> Path:
    """root/{train,val}/{blue,red}/0.png ..., `train` and `test` images a class."""
    seed = 0
    for split, count in (("train", train), (held, test)):
        for name in ("blue", "red"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                picture(seed := seed + 1, *size).save(folder / f"{index:03d}.{ending}")
    return root


def one_pass(split: Split, plan: EpochPlan) -> list[Batch]:
    return list(split.train_batches(plan, CPU))


def pixels(batches: list[Batch]) -> Tensor:
    return torch.cat([batch.image for batch in batches])


def ten(crop_flip: bool = False) -> MemorySplit:
    """Make a split of ten images whose labels are their numbers."""
    images = torch.arange(10 * 64, dtype=torch.uint8).view(10, 1, 8, 8)
    return MemorySplit(images, torch.arange(10), 1.0, (0.0,), (1.0,), 8, crop_flip)
