"""Streams: the same pixels for any workers, ranks, micro-batches and resumes; odd images; processes that end."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.data import create_dataset, create_loader

from ofb_ray.config import DataSpec
from ofb_ray.data import load, steps
from ofb_ray.data.base import Dataset, EpochPlan, epoch_order
from ofb_ray.errors import InputError
from tests.data.making import CPU, make_folder, one_pass, pixels

IMAGENET: dict[str, object] = {"kind": "imagenet", "erasing": 0.5}


def spec_of(root: Path, augment: object = IMAGENET, **more: object) -> DataSpec:
    given = {"name": "folder", "root": str(root), "image_size": 24, "val_share": 0.2, "decode": "stream", "workers": 0}
    return DataSpec.model_validate(given | {"augment": augment} | more)


def stream(root: Path, augment: object = IMAGENET, **more: object) -> Dataset:
    return load(spec_of(root, augment, **more))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("images"), train=10, test=5)


@pytest.mark.parametrize("augment", [IMAGENET, True, {"kind": "imagenet", "repeated": 3}, False])
@pytest.mark.parametrize(("workers", "world", "micro"), [(2, 1, None), (0, 3, None), (0, 1, 2), (1, 2, 1)])
def test_a_pass_is_the_same_for_any_workers_ranks_and_micro_batches(
    root: Path, augment: object, workers: int, world: int, micro: int | None
) -> None:
    whole = one_pass(stream(root, augment).train, EpochPlan(6, seed=4))
    data = stream(root, augment, workers=workers)
    ranks = [one_pass(data.train, EpochPlan(6, 4, micro, rank, world)) for rank in range(world)]
    for step in range(steps(16, 6, world)):
        images, labels = torch.full_like(whole[step].image, 9.0), torch.full_like(whole[step].label, -1)
        for batches in ranks:
            ends = [index for index, batch in enumerate(batches) if batch.last]
            for batch in batches[0 if step == 0 else ends[step - 1] + 1 : ends[step] + 1]:
                images[batch.first : batch.first + len(batch.label)] = batch.image
                labels[batch.first : batch.first + len(batch.label)] = batch.label
        assert torch.equal(images, whole[step].image)
        assert torch.equal(labels, whole[step].label)


def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(root: Path) -> None:
    first = stream(root, workers=1)
    passes = [pixels(one_pass(first.train, EpochPlan(6, seed))) for seed in range(3)]
    assert not torch.equal(passes[0], passes[1])
    assert torch.equal(pixels(one_pass(stream(root, workers=1).train, EpochPlan(6, 2))), passes[2])


def test_repeated_augmentation_shows_one_image_several_ways(root: Path) -> None:
    data = stream(root, {"kind": "imagenet", "repeated": 2, "rand_augment": None, "erasing": 0})
    batches = one_pass(data.train, EpochPlan(8, 0))
    assert sum(len(batch.label) for batch in batches) == len(data.train) == 16
    for batch in batches:
        assert torch.equal(batch.label[::2], batch.label[1::2])
        assert not torch.equal(batch.image[::2], batch.image[1::2])


def test_a_pass_leaves_the_random_state_of_the_process_alone(root: Path) -> None:
    for workers in (0, 1):
        data = stream(root, workers=workers)
        states = random.getstate(), repr(np.random.get_state(legacy=False)), torch.get_rng_state()
        one_pass(data.train, EpochPlan(6, 0))
        assert random.getstate() == states[0]
        assert repr(np.random.get_state(legacy=False)) == states[1]
        assert torch.equal(torch.get_rng_state(), states[2])


def test_a_pass_without_augmentation_shows_the_test_transform(root: Path) -> None:
    plain = stream(root, False)
    images = torch.cat([image for image, _ in plain.train.test_batches(4, CPU)])
    shown = pixels(one_pass(stream(root).train, EpochPlan(6, 3, augment=False)))
    assert torch.equal(shown, images[epoch_order(16, 3)])


@pytest.mark.parametrize("crop", [None, 0.9])
def test_the_test_split_is_what_timms_own_loader_gives(root: Path, crop: float | None) -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    data = stream(root, crop=crop, mean=mean, std=std, interpolation="bilinear")
    theirs = create_loader(
        create_dataset("", str(root / "val")),
        24,
        batch_size=4,
        crop_pct=crop or 1.0,
        mean=mean,
        std=std,
        num_workers=0,
        persistent_workers=False,
        device=CPU,
    )
    for (image, label), (wanted, target) in zip(data.test.test_batches(4, CPU), theirs, strict=True):
        assert torch.allclose(image, wanted, atol=1e-6)
        assert torch.equal(label, target)


def test_ranks_share_the_test_split(root: Path) -> None:
    data = stream(root)
    whole = torch.cat([image for image, _ in data.test.test_batches(4, CPU)])
    parts = [image for rank in range(3) for image, _ in data.test.test_batches(4, CPU, rank, 3)]
    assert torch.equal(torch.cat(parts), whole)


def test_an_unreadable_image_leaves_its_batch_and_nothing_else_changes(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for augment in (IMAGENET, True):
        clean = stream(root, augment)
        broken = make_folder(tmp_path / str(augment is True), train=10, test=5)
        (broken / "train" / "red" / "004.png").write_bytes(b"")
        data = stream(broken, augment, unreadable=0.05)
        whole = one_pass(clean.train, EpochPlan(6, 1))
        for plan in (EpochPlan(6, 1), EpochPlan(6, 1), EpochPlan(6, 1, micro_batch=6)):
            found = one_pass(data.train, plan)
            assert [(batch.first, batch.total, batch.last) for batch in found] == [(0, 6, True)] * 2 + [(0, 4, True)]
            assert sorted(len(batch.label) for batch in found) in ([3, 6, 6], [4, 5, 6])
            for batch, wanted in zip(found, whole, strict=True):
                kept = [
                    index for index, image in enumerate(wanted.image) if (image == batch.image).flatten(1).all(1).any()
                ]
                assert len(kept) == len(batch.label)
                assert torch.equal(batch.image, wanted.image[kept])
                assert torch.equal(batch.label, wanted.label[kept])
        assert [Path(name).name for name in data.unreadable] == ["004.png"]
        assert capsys.readouterr().err.count("unreadable, skipped: ") == 1
        assert len(data.train) == 16


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_unreadable_images_end_a_pass(tmp_path: Path, workers: int) -> None:
    root = make_folder(tmp_path, train=20)
    for index in range(8):
        (root / "train" / "red" / f"{index:03d}.png").write_bytes(b"")
    data = stream(root, workers=workers, unreadable=0.1)
    with pytest.raises(InputError, match=r"data.unreadable: [5-8] of 40 train images cannot be read, 4 may be"):
        one_pass(data.train, EpochPlan(8, 0))


def test_a_training_batch_without_images_is_an_error_and_a_test_batch_is_left_out(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for part in ("train", "val"):
        (root / part / "red" / "000.png").write_bytes(b"")
    data = stream(root, unreadable=0.5)
    with pytest.raises(InputError, match=r"data.unreadable: no image of a batch can be read: .*000\.png"):
        one_pass(data.train, EpochPlan(1, 0)) + list(data.val.train_batches(EpochPlan(1, 0), CPU))
    assert [label.tolist() for _, label in data.test.test_batches(1, CPU)] == [[0]] * 3 + [[1]] * 2


@pytest.mark.parametrize("workers", [0, 2])
def test_an_abandoned_pass_does_not_disturb_the_next_and_two_at_once_are_refused(root: Path, workers: int) -> None:
    data = stream(root, workers=workers)
    wanted = pixels(one_pass(stream(root).train, EpochPlan(2, 1)))
    started = data.train.train_batches(EpochPlan(2, 0), CPU)
    next(started)
    assert torch.equal(pixels(one_pass(data.train, EpochPlan(2, 1))), wanted)
    with pytest.raises(RuntimeError, match="two passes"):
        list(started)


def test_workers_outlive_passes_and_interrupts_and_end_with_their_split(root: Path) -> None:
    before = set(multiprocessing.active_children())
    data = stream(root, workers=2)
    first = pixels(one_pass(data.train, EpochPlan(6, 0)))
    own = set(multiprocessing.active_children()) - before
    assert len(own) == 2
    for process in own:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
    assert torch.equal(pixels(one_pass(data.train, EpochPlan(6, 0))), first)
    assert set(multiprocessing.active_children()) - before == own
    del data
    gc.collect()
    until = time.monotonic() + 10
    while any(process.is_alive() for process in own) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(process.is_alive() for process in own)
