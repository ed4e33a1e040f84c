"""Image folders as users have them: each odd file, folder and name has its stated outcome."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ofb_ray.config import DataSpec
from ofb_ray.data import facts, load
from ofb_ray.data.base import MemorySplit, Split
from ofb_ray.data.folder import find
from ofb_ray.data.image_source import Tally, Unreadable, decode
from ofb_ray.errors import InputError
from tests.data.making import make_folder, picture


def spec_of(root: Path, **more: object) -> DataSpec:
    return DataSpec.model_validate({"name": "folder", "root": str(root), "image_size": 16, "val_share": 0.2, **more})


def labels(split: Split) -> torch.Tensor:
    assert isinstance(split, MemorySplit)
    return split.labels


def read_one(tmp_path: Path, write: Callable[[Path], None], name: str) -> np.ndarray:
    """The pixels of a file that `write` makes as the only image of its class."""
    root = make_folder(tmp_path)
    folder = root / "train" / "odd"
    folder.mkdir()
    write(folder / name)
    found = find(spec_of(root))
    assert found.classes == ["blue", "odd", "red"]
    return np.asarray(decode(found.train, int((found.train.labels == 1).nonzero()[0])))


RAMP = (np.arange(32 * 32).reshape(32, 32) * 64).astype(np.uint16)


def save_palette(path: Path) -> None:
    image = Image.new("P", (8, 8))
    image.putpalette([255, 0, 0] + [0] * 765)
    image.save(path, transparency=b"\x00\xff")


def save_rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, 40, 30).save(path, exif=exif)


@pytest.mark.parametrize(
    ("write", "name", "wanted"),
    [
        (lambda path: Image.new("L", (9, 9), 77).save(path), "grey.png", np.full((9, 9, 3), 77)),
        (lambda path: Image.fromarray(RAMP).save(path), "deep.png", np.repeat((RAMP >> 8)[..., None], 3, 2)),
        (lambda path: Image.fromarray(RAMP).save(path), "deep.tif", np.repeat((RAMP >> 8)[..., None], 3, 2)),
        (save_palette, "palette.png", np.tile([255, 0, 0], (8, 8, 1))),
        (lambda path: Image.new("RGBA", (8, 8), (9, 8, 7, 0)).save(path), "clear.png", np.tile([9, 8, 7], (8, 8, 1))),
    ],
    ids=["grey", "16-bit png", "16-bit tiff", "palette with transparency", "transparent"],
)
@pytest.mark.filterwarnings("error")
def test_modes_become_rgb(tmp_path: Path, write: Callable[[Path], None], name: str, wanted: np.ndarray) -> None:
    assert np.array_equal(read_one(tmp_path, write, name), wanted)


def test_a_cmyk_photograph_looks_as_it_did(tmp_path: Path) -> None:
    plain = picture(3)
    read = read_one(tmp_path, lambda path: plain.convert("CMYK").save(path, quality=95), "print.jpg")
    assert np.abs(read.astype(int) - np.asarray(plain)).mean() < 4


def test_an_exif_rotation_is_not_applied_as_in_timm(tmp_path: Path) -> None:
    assert read_one(tmp_path, save_rotated, "phone.jpg").shape == (30, 40, 3)


def truncated(path: Path) -> None:
    buffer = BytesIO()
    picture(0, 200, 200).save(buffer, "jpeg")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


BROKEN: dict[str, Callable[[Path], object]] = {
    "empty.jpg": lambda path: path.write_bytes(b""),
    "cut.jpg": truncated,
    "text.png": lambda path: path.write_text("no image"),
    "gone.png": lambda path: path.symlink_to(path.parent / "nowhere.png"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named_and_skipped_within_the_limit(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_folder(tmp_path)
    BROKEN[name](root / "train" / "blue" / name)
    data = load(spec_of(root, unreadable=0.05))
    assert data.unreadable == [str(root / "train" / "blue" / name)]
    assert capsys.readouterr().err.count(f"unreadable, skipped: {data.unreadable[0]} (") == 1
    assert torch.cat([labels(data.train), labels(data.val)]).bincount().tolist() == [10, 10]
    assert facts(spec_of(root)).train_images == 21
    with pytest.raises(InputError, match=rf"data.unreadable: 1 of 21 train images .* 0 may be: .*{name}; mend"):
        load(spec_of(root, unreadable=0.04))


def test_every_kind_of_broken_file_is_unreadable(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for name, write in BROKEN.items():
        write(root / "train" / "blue" / name)
    found = find(spec_of(root))
    failed = []
    for place in range(len(found.train.labels)):
        try:
            decode(found.train, place)
        except Unreadable:
            failed.append(Path(found.train.name(place)).name)
    assert sorted(failed) == sorted(BROKEN)


@pytest.mark.parametrize(
    ("images", "share", "allowed"), [(999, 0.001, 0), (1000, 0.001, 1), (100, 0.29, 29), (9, 0, 0)]
)
def test_the_limit_is_the_whole_part_of_the_share(images: int, share: float, allowed: int) -> None:
    tally = Tally("train", images, share, [])
    for count in range(allowed):
        tally.add([(f"{count}.png", "cut")])
        tally.add([(f"{count}.png", "cut")])
    with pytest.raises(InputError, match=f"{allowed + 1} of {images} train images"):
        tally.add([("last.png", "cut")])


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


def empty_class(root: Path) -> None:
    (root / "train" / "green").mkdir()


def unknown_class(root: Path) -> None:
    (root / "val" / "green").mkdir()
    picture(0).save(root / "val" / "green" / "0.png")


def no_images(root: Path) -> None:
    for path in (root / "val").rglob("*.png"):
        path.unlink()


def no_classes(root: Path) -> None:
    (root / "train").rename(root / "old")
    (root / "train").mkdir()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda root: (root / "train").rename(root / "t"), r"no such folder: .*/train/<class>"),
        (lambda root: (root / "val").rename(root / "v"), r"no such folder: .*/test/<class>/\* or .*/val/<class>"),
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
