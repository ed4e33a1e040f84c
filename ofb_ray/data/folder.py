"""List image folders in ImageNet layout: `root`/train/<class>/* and `root`/test or val/<class>/*, or `root`/<class>/*.

Where both test/ and val/ exist, test/ is the test split and val/ is not read: selection has its own part of train.
Where neither exists, there is no test split. The sorted names of the folders in train/ are the classes, whatever test/
holds. Files without an image's extension are ignored, and so are folders that start with a dot.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from ofb_ray.config import DataSpec
from ofb_ray.data.image_source import ListedImages, digest, label_tensor
from ofb_ray.errors import InputError

TEST_PARTS = ("test", "val")


@dataclass(frozen=True)
class Files:
    """Image files.

    Args:
        paths: (N,) file names below `folder`, as fixed-width bytes: a list of a million strings would be copied into
            every loader process as soon as its reference counts move.
    """

    folder: str
    paths: np.ndarray
    labels: Tensor
    key: str = field(compare=False)

    def name(self, index: int) -> str:
        """Name a file so that it can be printed: a name in no known encoding is escaped."""
        path = os.path.join(self.folder, os.fsdecode(self.paths[index]))
        return path.encode(errors="backslashreplace").decode()

    def read(self, index: int) -> Image.Image:
        path = os.path.join(self.folder, os.fsdecode(self.paths[index]))
        if not stat.S_ISREG(os.stat(path).st_mode):  # a FIFO would keep its opener waiting
            raise OSError("it is no plain file")
        return Image.open(path)


def find(spec: DataSpec) -> ListedImages:
    """List the files of both parts.

    A class without test images is accepted.

    Raises:
        InputError: `root` has neither train/ nor class folders; train/ has no class folders, only one, or an empty one;
            a folder of the test part that holds images is no class of train/, or the test part has another name.
    """
    train, test = parts_of(Path(spec.root or ""))
    classes = [name for name, _ in _stamps(train)]
    if not classes:
        raise InputError(f"{train} has no class folders: wanted {train}/<class>/*", key="data.root")
    if len(classes) == 1:
        raise InputError(
            f"{train} has one class, {classes[0]!r}, and there is nothing to tell apart: give two or more",
            key="data.root",
        )
    images = list_folder(train)
    counts = np.bincount(images.labels.numpy(), minlength=len(classes))
    if empty := [name for name, count in zip(classes, counts, strict=True) if not count]:
        raise InputError(
            f"no images of {_list(empty)} in {train}; add some or delete the folder (images are {_EXTENSIONS})",
            key="data.root",
        )
    return ListedImages(images, None if test is None else _test_files(test, train, classes), classes)


def parts_of(root: Path) -> tuple[Path, Path | None]:
    """Find the folders of the training and the test part, None where there is no test part.

    Raises:
        InputError: there is no training part, or another folder than test/ or val/ has the names of its classes.
    """
    test = next((root / name for name in TEST_PARTS if (root / name).is_dir()), None)
    train = root / "train"
    if not train.is_dir():
        if test is not None or not _holds_classes(root):
            raise InputError(
                f"no such folder: {train}/<class>/* or {root}/<class>/*; `data.root` must hold the image folders",
                key="data.root",
            )
        return root, None
    if test is None and (other := _test_by_another_name(root, train)) is not None:
        raise InputError(f"{other} has the classes of {train}: rename it to test or val", key="data.root")
    return train, test


def _holds_classes(root: Path) -> bool:
    """Whether a folder below `root` holds an image itself: of its parents no class is made."""
    return root.is_dir() and any(
        entry.name.lower().endswith(IMG_EXTENSIONS) for name, _ in _stamps(root) for entry in os.scandir(root / name)
    )


def _test_by_another_name(root: Path, train: Path) -> Path | None:
    classes = {name for name, _ in _stamps(train)}
    others = (root / name for name, _ in _stamps(root) if name != train.name)
    return next((other for other in others if classes & {name for name, _ in _stamps(other)}), None)


def list_folder(folder: Path) -> Files:
    """List the images of folder/<class>/*, classes in the order of their names."""
    stamps = _stamps(folder)
    return _files(str(folder.resolve()), stamps, tuple(name for name, _ in stamps))


def _test_files(test: Path, train: Path, classes: list[str]) -> Files:
    stamps = _stamps(test)
    for name in sorted({name for name, _ in stamps} - set(classes)):
        if make_dataset(str(test), {name: 0}, extensions=IMG_EXTENSIONS, allow_empty=True):
            raise InputError(
                f"{test / name} holds images, but {train} has no class {name!r}; delete it or add the class to train",
                key="data.root",
            )
    images = _files(str(test.resolve()), stamps, tuple(classes))
    if not len(images.labels):
        raise InputError(f"no images in {test}/<class>/* (images are {_EXTENSIONS})", key="data.root")
    return images


def _stamps(folder: Path) -> tuple[tuple[str, int], ...]:
    """List the class folders and when files were last added to or removed from each (ns since 1970)."""
    entries = (entry for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    return tuple(sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries))


@lru_cache(maxsize=4)
def _files(folder: str, stamps: tuple[tuple[str, int], ...], classes: tuple[str, ...]) -> Files:
    """List files once while `stamps` holds: a million take seconds to minutes, and each trial of a sweep asks."""
    indices = {name: label for label, name in enumerate(classes)}
    samples = make_dataset(folder, indices, extensions=IMG_EXTENSIONS, allow_empty=True)
    paths = np.array([os.fsencode(os.path.relpath(path, folder)) for path, _ in samples], dtype=np.bytes_)
    labels = label_tensor([label for _, label in samples])
    return Files(folder, paths, labels, digest(f"{folder}|{stamps}|{classes}", labels))


def _list(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return f"{'class' if len(names) == 1 else f'{len(names)} classes:'} {shown}" + (", ..." if len(names) > 5 else "")


_EXTENSIONS = ", ".join(IMG_EXTENSIONS)
