"""Images per second of our training loader beside timm's own, on the same files with the same transforms.

    python -m benchmarks.data_loading [--root FOLDER --workers 1 --batch 64 --rounds 7]

FOLDER is an image folder, class by class; without one, JPEGs of ImageNet's usual size are made: 500 x 375 pixels,
quality 90, shapes under noise. Both loaders read whole passes by turns in one process: random resized crop to 224
pixels, mirror, RandAugment, random erasing by noise on the device. Ours seeds every image, timm its workers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from timm.data import create_dataset, create_loader

from ofb_ray.config import AugmentSpec, DataSpec
from ofb_ray.data.base import EpochPlan
from ofb_ray.data.folder import list_folder
from ofb_ray.data.image_source import Subset, Tally
from ofb_ray.data.stream import StreamSplit
from ofb_ray.data.transforms import MEAN, STD, mend_posterize
from ofb_ray.train.run import pick_device

SIZE = 224
RECIPE = AugmentSpec(kind="imagenet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--images", type=int, default=2048, help="how many are made, or taken of FOLDER")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = args.root or made_folder(Path(stack.enter_context(tempfile.TemporaryDirectory())), args.images)
        ours, theirs = loaders(root, args.images, args.batch, args.workers)
        passes = [by_turns(ours, theirs, seed) for seed in range(args.rounds + 1)][1:]
        images = len(ours) // args.batch * args.batch
    rates = {name: [images / took[place] for took in passes] for place, name in enumerate(("ours", "timm"))}
    ratios = [own / other for own, other in zip(rates["ours"], rates["timm"], strict=True)]
    processes = max(1, args.workers)
    figures = {
        "benchmark": "data_loading",
        "images": images,
        "workers": args.workers,
        "batch": args.batch,
        "device": str(pick_device()),
        "images_per_second": statistics.median(rates["ours"]),
        "timm_images_per_second": statistics.median(rates["timm"]),
        "images_per_second_per_worker": statistics.median(rates["ours"]) / processes,
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }
    for name, values in rates.items():
        middle = statistics.median(values)
        extent = f"{min(values):.1f} to {max(values):.1f}"
        print(f"{name:6}{middle:8.1f} images/s ({extent}), {middle / processes:.1f} a worker")
    print(f"ratio {figures['ratio']:8.3f} (median of {args.rounds} rounds, {min(ratios):.3f} to {max(ratios):.3f})")
    print(json.dumps(figures))


class Ours:
    """Passes over our stream."""

    def __init__(self, split: StreamSplit, batch: int) -> None:
        self.split, self.batch = split, batch

    def __len__(self) -> int:
        return len(self.split)

    def run(self, seed: int) -> Iterator[torch.Tensor]:
        return (batch.image for batch in self.split.train_batches(EpochPlan(self.batch, seed), pick_device()))


class Timm:
    """Passes over timm's loader."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def run(self, seed: int) -> Iterator[torch.Tensor]:
        del seed
        return (image for image, _ in self.loader)


def loaders(root: Path, limit: int, batch: int, workers: int) -> tuple[Ours, Timm]:
    """Both over the first images of `root` in an order of ours, a whole number of batches."""
    files = list_folder(root)
    count = min(limit, len(files.labels)) // batch * batch
    places = torch.randperm(len(files.labels), generator=torch.Generator().manual_seed(0))[:count]
    spec = DataSpec(name="folder", root=str(root), image_size=SIZE, augment=RECIPE)
    stream = StreamSplit(Subset(files, places), spec, Tally("train", count, 0.0, []), workers)
    dataset: Any = create_dataset("", str(root))
    dataset.reader.samples = [(files.name(place), int(files.labels[place])) for place in places.tolist()]
    loader = create_loader(
        dataset,
        SIZE,
        batch,
        is_training=True,
        scale=(RECIPE.min_area, 1.0),
        auto_augment=RECIPE.rand_augment,
        re_prob=RECIPE.erasing,
        re_mode="pixel",
        interpolation="bicubic",
        mean=MEAN,
        std=STD,
        num_workers=workers,
        pin_memory=pick_device().type == "cuda",
        persistent_workers=workers > 0,
        device=pick_device(),
    )
    # Pillow 13 ends timm's pass otherwise.
    mend_posterize(dataset.transform)
    return Ours(stream, batch), Timm(loader)


def by_turns(ours: Ours, theirs: Timm, turn: int) -> tuple[float, float]:
    """Seconds of a pass of each; who is first changes from turn to turn."""
    if turn % 2:
        other, own = seconds(theirs, turn), seconds(ours, turn)
    else:
        own, other = seconds(ours, turn), seconds(theirs, turn)
    return own, other


def seconds(loader: Ours | Timm, seed: int) -> float:
    """One pass, to the last image on the device."""
    start = time.perf_counter()
    for _ in loader.run(seed):
        pass
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def made_folder(root: Path, images: int) -> Path:
    """Two classes of JPEGs whose size in bytes is about that of ImageNet's (110 kB)."""
    rng = np.random.default_rng(0)
    for index in range(images):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(picture)
        for _ in range(20):
            x, y, width, height = (int(value) for value in rng.integers(0, 375, 4))
            colour = tuple(int(value) for value in rng.integers(0, 256, 3))
            (draw.ellipse if width % 2 else draw.rectangle)((x, y, x + width // 3, y + height // 3), fill=colour)
        noisy = np.asarray(picture).astype(np.int16) + rng.normal(0, 14, (375, 500, 1)).astype(np.int16)
        path = root / str(index % 2) / f"{index:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return root


if __name__ == "__main__":
    main()
