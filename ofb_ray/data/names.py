"""What the classes of a data set are called. Names are foreign text: a line of printable characters each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch.utils.data import Subset

from ofb_ray.errors import one_line

LONGEST = 120


def class_names(names: Iterable[Any]) -> tuple[str, ...]:
    """Write each name as one printable line of at most `LONGEST` characters; several words for a class are joined.

    Args:
        names: in the order of the labels: text, or a tuple of synonyms as torchvision has them for ImageNet.
    """
    return tuple(
        one_line(", ".join(map(str, name)) if isinstance(name, tuple | list) else str(name), LONGEST) for name in names
    )


def names_of(dataset: Any, classes: int) -> tuple[str, ...]:
    """Return the names that a map-style dataset has for its classes; empty where it has none, or of another number.

    They are looked for where torchvision (`classes`) and the `datasets` package (`features["label"].names`) keep them.

    Args:
        classes: how many there are.
    """
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    features = getattr(dataset, "features", None)
    label = features.get("label") if isinstance(features, dict) else None
    for names in (getattr(dataset, "classes", None), getattr(label, "names", None)):
        if isinstance(names, list | tuple) and len(names) == classes:
            return class_names(names)
    return ()
