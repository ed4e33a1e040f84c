"""Read `hfds/NAME`: a data set of the Hugging Face hub or a local folder of one, through timm's reader.

NAME is what `datasets.load_dataset` takes, `root` its cache folder. The fields are `image` and `label`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from PIL import Image
from torch import Tensor

from ofb_ray.config import DataSpec
from ofb_ray.data.image_source import ListedImages, digest, label_tensor
from ofb_ray.errors import InputError

_TEST = ("test", "validation", "val")


@dataclass(frozen=True)
class HubSet:
    """One part of a hub set."""

    reader: Any
    labels: Tensor
    key: str

    def name(self, index: int) -> str:
        return f"{self.reader.filename(index) or 'image'} ({self.reader.split} {index})"

    def read(self, index: int) -> Image.Image:
        return Image.open(self.reader[index][0])


def find(spec: DataSpec) -> ListedImages:
    """Fetch both parts, unless the cache has them, and list their images.

    Raises:
        InputError: the `datasets` package is missing, or the set or its splits or fields cannot be read.
    """
    try:
        datasets = import_module("datasets")
    except ImportError:
        raise InputError(f"{spec.name} needs the `datasets` package: pip install datasets", key="data.name") from None
    name = spec.name.partition("/")[2]
    try:
        splits = datasets.get_dataset_split_names(name)
        test = next((split for split in _TEST if split in splits), None)
        if "train" not in splits or test is None:
            raise InputError(f"{name} has the splits {', '.join(splits)}; wanted train and test", key="data.name")
        parts = [_part(spec, name, split) for split in ("train", test)]
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"cannot read {spec.name}: {str(error).strip()}", key="data.name") from None
    numbered = parts[0].reader.class_to_idx
    classes = sorted(numbered, key=numbered.get) if numbered else range(int(parts[0].labels.max()) + 1)
    return ListedImages(parts[0], parts[1], [str(label) for label in classes])


def _part(spec: DataSpec, name: str, split: str) -> HubSet:
    from timm.data.readers.reader_hfds import ReaderHfds

    reader: Any = ReaderHfds(name, root=spec.root, split=split)
    labels = label_tensor([int(label) for label in reader.iter_targets()])
    return HubSet(reader, labels, digest(f"{spec.name}|{split}|{reader.dataset._fingerprint}", labels))
