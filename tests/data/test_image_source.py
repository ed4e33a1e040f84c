"""Image files as users have them: each mode and each fault has its stated outcome."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ofb_ray.config import DataSpec
from ofb_ray.data import facts, load
from ofb_ray.data.base import Split
from ofb_ray.data.folder import find
from ofb_ray.data.image_source import Tally, Unreadable, decode
from ofb_ray.data.memory import MemorySplit
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
    for index in range(len(found.train.labels)):
        try:
            decode(found.train, index)
        except Unreadable:
            failed.append(Path(found.train.name(index)).name)
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
