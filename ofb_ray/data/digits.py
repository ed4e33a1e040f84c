"""Load the bundled digits: 1,797 grey images of 8 x 8 pixels, 17 levels, ten classes. No download.

They are the test part of UCI's Optical Recognition of Handwritten Digits (E. Alpaydin and C. Kaynak, 1998,
doi 10.24432/C50P49, CC BY 4.0), in the order of scikit-learn's `load_digits`; see `digits_NOTICE.txt`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ofb_ray.config import DataSpec
from ofb_ray.data.base import Dataset, Facts, stratified
from ofb_ray.data.memory import MemorySplit

DIGITS_FILE = Path(__file__).with_name("digits.npz")
TEST_SHARE = 0.2
MEAN, STD = (0.305,), (0.376,)
SPLIT_SEED = 0
NAMES = tuple("0123456789")


def load(spec: DataSpec, cache: Path | None = None) -> Dataset:
    """Split the digits: a fixed stratified fifth is the test split, `val_share` of the rest is held out.

    Args:
        cache: unused; nothing of this set is worth keeping.
    """
    del cache
    images, labels = bundled()
    train, test = stratified(labels, TEST_SHARE, SPLIT_SEED)
    rest, val = stratified(labels[train], spec.val_share, SPLIT_SEED)
    mean, std = spec.mean or MEAN, spec.std or STD

    def split(index: torch.Tensor, limit: int | None) -> MemorySplit:
        shift = spec.augment.kind == "crop_flip"
        return MemorySplit(images[index[:limit]], labels[index[:limit]], 16.0, mean, std, spec.image_size, shift)

    parts = split(train[rest], spec.train_limit), split(train[val], None), split(test, spec.test_limit)
    return Dataset(*parts, classes=10, channels=1, class_names=NAMES)


def bundled() -> tuple[torch.Tensor, torch.Tensor]:
    """Read the images (1797, 1, 8, 8), uint8 of 0 to 16, and their labels (1797,), int64, from this package."""
    with np.load(DIGITS_FILE) as arrays:
        images, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
    return images[:, None], labels.to(torch.int64)


def facts(spec: DataSpec) -> Facts:
    """Count the training images without reading them: 80 % of 1,797."""
    return Facts(min(spec.train_limit or 1438, 1438), 10, 1)
