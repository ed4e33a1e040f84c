"""Image folders as users have them: each odd folder and name has its stated outcome."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ofb_ray.config import DataSpec
from ofb_ray.data import facts, load
from ofb_ray.data.base import Split
from ofb_ray.data.memory import MemorySplit
from ofb_ray.errors import InputError
from tests.data.making import make_folder, picture


def spec_of(root: Path, **more: object) -> DataSpec:
    return DataSpec.model_validate({"name": "folder", "root": str(root), "image_size": 16, "val_share": 0.2, **more})


def labels(split: Split) -> torch.Tensor:
    assert isinstance(split, MemorySplit)
    return split.labels


def test_other_files_and_hidden_folders_are_ignored(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    (root / "train" / "blue" / "Thumbs.db").write_bytes(b"x")
    (root / "train" / "notes.txt").write_text("x")
    (root / "train" / ".cache").mkdir()
    picture(0).save(root / "train" / "blue" / "UPPER.JPG")
    assert facts(spec_of(root)) == facts(spec_of(root, train_images=21, classes=2))


def test_names_outside_ascii_and_outside_any_encoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_folder(tmp_path)
    for split in ("train", "val"):
        folder = root / split / "чайка ü"
        folder.mkdir()
        for index in range(4):
            picture(index).save(folder / f"été {index} 🐦.png")
        (folder / "пусто.jpg").write_bytes(b"")
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(b"")
    data = load(spec_of(root, unreadable=0.4), tmp_path / "cache")
    assert data.classes == 3
    assert labels(data.test).bincount().tolist() == [3, 3, 4]
    assert sorted(Path(name).name for name in data.unreadable) == ["\\udcff.jpg"] * 2 + ["пусто.jpg"] * 2
    assert "пусто.jpg" in capsys.readouterr().err


def test_a_class_missing_or_empty_in_the_test_part_keeps_the_labels_of_train(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for name in ("amber", "green"):
        (root / "train" / name).mkdir()
        for index in range(5):
            picture(index).save(root / "train" / name / f"{index}.png")
    (root / "val" / "green").mkdir()
    data = load(spec_of(root))
    assert data.classes == 4
    assert labels(data.test).tolist() == [1, 1, 1, 3, 3, 3]
    assert set(labels(data.val).tolist()) == {0, 1, 2, 3}


def test_where_both_exist_test_is_read_and_val_is_not(tmp_path: Path) -> None:
    root = make_folder(make_folder(tmp_path / "a", held="test", test=4).parent / "b", test=2)
    (tmp_path / "a" / "test").rename(root / "test")
    assert len(load(spec_of(root)).test) == 8


def test_without_a_test_part_all_images_are_for_training_and_selection(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    shutil.rmtree(root / "val")
    data = load(spec_of(root))
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 0)


def test_class_folders_alone_are_a_training_part(tmp_path: Path) -> None:
    root = make_folder(tmp_path) / "train"
    data = load(spec_of(root))
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 0)
    assert data.class_names == ("blue", "red")
    with pytest.raises(InputError, match="no such folder"):  # the folder above holds no image of its own classes
        load(spec_of(make_folder(tmp_path / "b", held="dev").parent / "b" / "dev" / "blue"))


def test_class_names_are_one_printable_line_each(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for bad in ("a\x1b[31m\nb", os.fsdecode(b"\xff")):
        (root / "train" / bad).mkdir()
        for index in range(3):
            picture(index).save(root / "train" / bad / f"{index}.png")
    names = load(spec_of(root)).class_names
    assert names == ("a\\x1b[31m b", "blue", "red", "\\udcff")


def empty_class(root: Path) -> None:
    (root / "train" / "green").mkdir()


def unknown_class(root: Path) -> None:
    (root / "val" / "green").mkdir()
    picture(0).save(root / "val" / "green" / "0.png")


def no_images(root: Path) -> None:
    for path in (root / "val").rglob("*.png"):
        path.unlink()


def one_class(root: Path) -> None:
    shutil.rmtree(root / "train" / "blue")


def no_classes(root: Path) -> None:
    (root / "train").rename(root / "old")
    (root / "train").mkdir()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda root: (root / "train").rename(root / "t"), r"no such folder: .*/train/<class>"),
        (lambda root: (root / "val").rename(root / "v"), r"/v has the classes of .*/train: rename it to test or val"),
        (one_class, r"train has one class, 'red', and there is nothing to tell apart: give two or more"),
        (empty_class, r"no images of class 'green' in .*train; add some or delete the folder"),
        (unknown_class, r"val/green holds images, but .*train has no class 'green'"),
        (no_images, r"no images in .*val/<class>/\*"),
        (no_classes, r"train has no class folders"),
    ],
)
def test_a_wrong_layout_is_told_with_its_remedy(tmp_path: Path, harm: Callable[[Path], None], message: str) -> None:
    root = make_folder(tmp_path)
    harm(root)
    for look in (facts, load):
        with pytest.raises(InputError, match=f"data.root: .*{message}"):
            look(spec_of(root))
