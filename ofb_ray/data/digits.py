"""scikit-learn's bundled digits: 1,797 grey images of 8 x 8 pixels, 17 levels, ten classes. No download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ofb_ray.config import DataSpec
from ofb_ray.data.base import Dataset, Facts, MemorySplit, stratified

TEST_SHARE = 0.2
MEAN, STD = (0.305,), (0.376,)
SPLIT_SEED = 0


def load(spec: DataSpec, cache: Path | None = None) -> Dataset:
    """A fixed stratified fifth is the test split; `val_share` of the rest is held out. Nothing is cached."""
    del cache
    images, labels = bundled()
    train, test = stratified(labels, TEST_SHARE, SPLIT_SEED)
    rest, val = stratified(labels[train], spec.val_share, SPLIT_SEED)
    mean, std = spec.mean or MEAN, spec.std or STD

    def split(index: torch.Tensor, limit: int | None) -> MemorySplit:
        shift = spec.augment.kind == "crop_flip"
        return MemorySplit(images[index[:limit]], labels[index[:limit]], 16.0, mean, std, spec.image_size, shift)

    parts = split(train[rest], spec.train_limit), split(train[val], None), split(test, spec.test_limit)
    return Dataset(*parts, classes=10, channels=1)


def bundled() -> tuple[torch.Tensor, torch.Tensor]:
    """Images (1797, 1, 8, 8), uint8 of 0 to 16, and labels (1797,), as `sklearn.datasets.load_digits` gives them.

    Its file is read without it: importing scikit-learn would add a fifth to the start of every process.
    """
    found = find_spec("sklearn")
    assert found is not None
    assert found.origin is not None
    table = np.loadtxt(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz", dtype=np.int64, delimiter=",")
    pixels, labels = torch.from_numpy(table[:, :-1]), torch.from_numpy(table[:, -1])
    return pixels.to(torch.uint8).reshape(-1, 1, 8, 8), labels.contiguous()


def facts(spec: DataSpec) -> Facts:
    """Known by heart: 80 % of 1,797 images."""
    return Facts(min(spec.train_limit or 1438, 1438), 10, 1)
