"""Images decoded once: what is stored, when it is used again, what is not stored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from ofb_ray.config import DataSpec
from ofb_ray.data import load
from ofb_ray.data.base import EpochPlan, Split
from ofb_ray.data.memory import MemorySplit
from ofb_ray.errors import InputError
from tests.data.making import CPU, make_folder, one_pass, picture, pixels


def spec_of(root: Path, **more: object) -> DataSpec:
    return DataSpec.model_validate({"name": "folder", "root": str(root), "image_size": 16, "val_share": 0.2, **more})


def memory(split: Split) -> MemorySplit:
    assert isinstance(split, MemorySplit)
    return split


def stored(cache: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in cache.glob("*.bytes")}


def test_images_are_stored_at_image_size_and_normalised(tmp_path: Path) -> None:
    data = load(spec_of(make_folder(tmp_path)), tmp_path / "cache")
    assert (len(data.train), len(data.val), len(data.test), data.classes) == (16, 4, 6, 2)
    image = pixels(one_pass(data.train, EpochPlan(16, 0)))
    assert image.shape == (16, 3, 16, 16)
    assert image.min() < -0.7
    assert image.max() > 0.7
    assert image.abs().max() <= 1.0
    other = load(spec_of(tmp_path, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0)), tmp_path / "cache")
    wanted = ((image + 1) / 2 - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([1, 2, 4]).view(
        1, 3, 1, 1
    )
    assert torch.allclose(pixels(one_pass(other.train, EpochPlan(16, 0))), wanted, atol=1e-6)


def test_what_is_decoded_is_used_again_until_something_changes(tmp_path: Path) -> None:
    root, cache = make_folder(tmp_path), tmp_path / "cache"
    first = load(spec_of(root), cache)
    before = stored(cache)
    assert len(before) == 3
    again = load(spec_of(root), cache)
    assert stored(cache) == before
    assert torch.equal(memory(first.train).images, memory(again.train).images)
    assert torch.equal(memory(first.train).images, memory(load(spec_of(root)).train).images)
    load(spec_of(root, image_size=12), cache)
    assert len(stored(cache)) == 6
    load(spec_of(root, crop=0.5), cache)
    assert len(stored(cache)) == 9
    stamp = os.stat(root / "train" / "red").st_mtime_ns
    picture(99).save(root / "train" / "red" / "new.png")
    os.utime(root / "train" / "red", ns=(stamp + 10**9, stamp + 10**9))
    assert len(load(spec_of(root), cache).train) == 17
    assert len(stored(cache)) == 11


def test_small_square_images_keep_their_pixels(tmp_path: Path) -> None:
    data = load(spec_of(make_folder(tmp_path, size=(8, 8)), crop=0.9), tmp_path / "cache")
    assert memory(data.train).images.shape == (16, 3, 8, 8)
    image, label = next(data.test.test_batches(6, CPU))
    assert image.shape == (6, 3, 16, 16)
    assert label.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(
        memory(load(spec_of(tmp_path, crop=0.9), tmp_path / "cache").test).images, memory(data.test).images
    )


@pytest.mark.parametrize("odd", [(9, 9), (8, 9)])
def test_one_image_of_another_size_ends_that(tmp_path: Path, odd: tuple[int, int]) -> None:
    root = make_folder(tmp_path, size=(8, 8))
    picture(0, *odd).save(root / "val" / "red" / "odd.png")
    assert memory(load(spec_of(root), tmp_path / "cache").train).images.shape == (16, 3, 16, 16)


def test_worker_processes_decode_what_one_process_decodes(tmp_path: Path) -> None:
    root = make_folder(tmp_path, train=180, test=2, size=(20, 18))
    (root / "train" / "blue" / "005.png").write_bytes(b"")
    alone, many = (load(spec_of(root, workers=count, unreadable=0.01)) for count in (0, 2))
    assert len(memory(alone.train).labels) > 256
    assert torch.equal(memory(alone.train).images, memory(many.train).images)
    assert torch.equal(memory(alone.train).labels, memory(many.train).labels)
    assert alone.unreadable == many.unreadable != []


def test_unreadable_images_are_named_by_every_trial_and_labels_stay_aligned(tmp_path: Path) -> None:
    root, cache = make_folder(tmp_path), tmp_path / "cache"
    clean = load(spec_of(root))
    (root / "val" / "blue" / "001.png").write_bytes(b"")
    for _ in range(2):
        data = load(spec_of(root, unreadable=0.2), cache)
        assert [Path(name).name for name in data.unreadable] == ["001.png"]
        assert memory(data.test).labels.tolist() == [0, 0, 1, 1, 1]
        assert torch.equal(memory(data.test).images, memory(clean.test).images[[0, 2, 3, 4, 5]])


def test_nothing_is_stored_of_a_part_with_too_many_unreadable_images(tmp_path: Path) -> None:
    root, cache = make_folder(tmp_path), tmp_path / "cache"
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"6 of 6 test images cannot be read, 0 may be: .*, \.\.\.; mend"):
        load(spec_of(root), cache)
    assert not list(cache.glob("test-*.bytes")) + list(cache.glob("*.partial"))


def test_a_class_that_loses_all_its_images_is_an_error(tmp_path: Path) -> None:
    """Whatever share may be unreadable; a FIFO among the images is no image, at once."""
    root = make_folder(tmp_path / "images")
    kind = sorted(path for path in (root / "train").iterdir())[0]
    files = sorted(kind.iterdir())
    for file in files[1:]:
        file.write_bytes(b"no image")
    files[0].unlink()
    os.mkfifo(files[0])
    with pytest.raises(InputError, match=rf"all train images of 1 class are unreadable, such as .*{files[0].name}"):
        load(spec_of(root, unreadable=0.9), tmp_path / "cache")
