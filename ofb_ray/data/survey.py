"""Look within seconds for images that cannot be read: many are decoded, of the others headers are read."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from ofb_ray.config import DataSpec
from ofb_ray.data.image_source import ImageSource, ListedImages, Subset, Unreadable, allowing, decode, mode_of
from ofb_ray.data.images import SPLIT_SEED, choose
from ofb_ray.data.names import class_names
from ofb_ray.errors import printable


@dataclass(frozen=True)
class Survey:
    """What a look at one part of a data set has found.

    Args:
        images: of the part.
        decoded: of them, chosen evenly by chance; all where time sufficed.
        opened: of the others those whose headers were read.
        broken: by index why an image cannot be read, `sampled` of them among those that were decoded.
        sizes: (width, height) in pixels of what was decoded, and `modes` Pillow's names of its pixels.
    """

    images: int
    decoded: int
    opened: int
    broken: Mapping[int, str]
    sampled: int
    sizes: Sequence[tuple[int, int]]
    modes: frozenset[str]

    @property
    def share(self) -> float:
        """The share that cannot be read: by what was decoded, and no less than was found."""
        return max(self.sampled / max(1, self.decoded), len(self.broken) / self.images)

    @property
    def allowed(self) -> float:
        """For `data.unreadable`: twice the share."""
        return allowing(2 * self.share)


def survey(part: ImageSource, seconds: float) -> Survey:
    """Look at the images of a part in an order of chance, the same each time.

    Args:
        seconds: for decoding, and as many for headers.
    """
    images = len(part.labels)
    order = torch.randperm(images, generator=torch.Generator().manual_seed(SPLIT_SEED)).tolist()
    sizes, modes, broken = [], set[str](), dict[int, str]()
    end = time.monotonic() + seconds
    decoded = opened = 0
    for index in order:
        try:
            sizes.append(decode(part, index).size)
            modes.add(mode_of(part, index))
        except Unreadable as error:
            broken[index] = str(error)
        decoded += 1
        if time.monotonic() > end:
            break
    sampled, end = len(broken), time.monotonic() + seconds
    for index in order[decoded:]:
        try:
            mode_of(part, index)
        except Unreadable as error:
            broken[index] = str(error)
        opened += 1
        if time.monotonic() > end:
            break
    return Survey(images, decoded, opened, dict(sorted(broken.items())), sampled, sizes, frozenset(modes))


def lost_classes(part: ImageSource, broken: Sequence[int]) -> list[int]:
    """List the classes of which every image of a part is among the broken ones."""
    counts = torch.bincount(part.labels)
    lost = torch.bincount(part.labels[list(broken)], minlength=len(counts))
    return torch.nonzero((counts > 0) & (counts == lost)).flatten().tolist()


def faults(found: ListedImages, spec: DataSpec, seconds: float) -> list[str]:
    """Say which images cannot be read, as far as `seconds` tell, and what becomes of that; a line for each fault.

    Args:
        found: with no validation part of its own.
        seconds: see `survey`; for each part.
    """
    chosen = choose(found, spec)
    lines: list[str] = []
    for name, subsets in (("train", chosen[:2]), ("test", chosen[2:])):
        if subsets:
            lines += _faults(name, subsets, spec.unreadable, class_names(found.classes), seconds)
    return lines


def _faults(
    name: str, subsets: Sequence[Subset], unreadable: float, classes: Sequence[str], seconds: float
) -> Iterator[str]:
    """See `faults`; the subsets of one part share what may be unreadable, and each needs an image of every class."""
    whole = Subset(subsets[0].pictures, torch.cat([subset.indices for subset in subsets]))
    seen = survey(whole, seconds)
    if not seen.broken:
        return
    names = [printable(whole.name(index)) for index in seen.broken]
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    looked = "" if seen.decoded == seen.images else f" ({seen.decoded:,} decoded, {seen.opened:,} more opened)"
    may = math.floor(unreadable * seen.images + 1e-9)
    remedy = f"mend or delete them, or set data.unreadable={seen.allowed:g}"
    if len(names) > may:
        fate = f"{may} may be, so trials will end at them: {remedy}"
    elif round(seen.share * seen.images) > may:
        fate = f"{may} may be, and there are likely more, which would end trials: {remedy}"
    else:
        fate = f"they are skipped, as data.unreadable allows {may}"
    yield f"{len(names)} of {seen.images:,} {name} images cannot be read{looked}: {shown}; {fate}"
    first = 0
    for subset in subsets:
        own = [index - first for index in seen.broken if first <= index < first + len(subset.indices)]
        for label in lost_classes(subset, own):
            held = "held-out" if subset is not subsets[0] else name
            yield f"no {held} image of class {classes[label]!r} can be read: replace them, or remove the class"
        first += len(subset.indices)
