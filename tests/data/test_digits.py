"""The bundled digits: whose they are, bit for bit, and how they are split."""

from __future__ import annotations

import hashlib

import pytest
import torch

from ofb_ray.config import DataSpec
from ofb_ray.data import facts, load
from ofb_ray.data.digits import bundled
from ofb_ray.data.memory import MemorySplit

DIGEST = "65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5"


def test_digits_splits_are_disjoint_and_stratified() -> None:
    data = load(DataSpec())
    splits = [data.train, data.val, data.test]
    assert [len(split) for split in splits] == [1222, 216, 359]
    assert facts(DataSpec()).train_images == len(data.train) + len(data.val)
    everything = torch.cat([split.images for split in splits if isinstance(split, MemorySplit)]).flatten(1)
    assert len(everything) == 1797
    assert len(torch.unique(everything, dim=0)) == 1797
    assert isinstance(data.val, MemorySplit)
    assert data.val.labels.bincount().min() >= 20


def test_images_labels_and_their_order_never_change() -> None:
    images, labels = bundled()
    assert (images.shape, images.dtype) == ((1797, 1, 8, 8), torch.uint8)
    assert (labels.shape, labels.dtype) == ((1797,), torch.int64)
    assert hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest() == DIGEST


def test_digits_are_those_of_scikit_learn() -> None:
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    images, labels = bundled()
    assert images.dtype == torch.uint8
    assert torch.equal(images[:, 0].double(), torch.from_numpy(theirs.images))
    assert torch.equal(labels, torch.from_numpy(theirs.target))
