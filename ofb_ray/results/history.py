"""Read what a record holds as plain JSON as typed values: epochs, cuts, widths, images, the device.

`record.json` keeps them as mappings (its format); this module is the one that knows their keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ofb_ray.config import Phase as Phase
from ofb_ray.results.records import Record

Size = tuple[int, int]  # heads, width of each


@dataclass(frozen=True)
class Epoch:
    """One epoch of a trial. What a phase does not measure is None.

    Args:
        epoch: from 1 in each phase.
        top1_val: top-1 accuracy on the held-out part of train, in percent.
        budget_used: expected cost over the target; of the search.
        current_macs: MACs of the network as it is cut so far; of the search.
    """

    phase: Phase
    epoch: int
    top1_val: float | None = None
    budget_used: float | None = None
    current_macs: int | None = None


@dataclass(frozen=True)
class AxisCut:
    """What one cut did to one axis.

    Args:
        epoch: of the search, from 1.
        before, after: the largest candidate.
        decided: whether one candidate is left.
        output_gap: relative change of the logits by the whole cut.
        projected: whether it was the projection onto the budget at the end of the search, not an elimination.
    """

    epoch: int
    axis: str
    before: Size
    after: Size
    decided: bool
    output_gap: float
    projected: bool

    @property
    def units(self) -> int:
        """The number of units that were cut."""
        return self.before[0] * self.before[1] - self.after[0] * self.after[1]


def epochs_of(record: Record, phase: Phase | None = None) -> list[Epoch]:
    """Read the epochs of a record, of all phases or of one, in the order in which they were trained."""
    return [
        Epoch(row["phase"], row["epoch"], row.get("top1_val"), row.get("budget_used"), row.get("current_macs"))
        for row in record.history
        if phase in (None, row["phase"])
    ]


def axis_cuts_of(record: Record) -> list[AxisCut]:
    """Read the cuts of a record's search, axis by axis, in their order."""
    return [
        AxisCut(
            epoch=event["epoch"],
            axis=event["axis"],
            before=(event["from"][0], event["from"][1]),
            after=(event["to"][0], event["to"][1]),
            decided=bool(event["decided"]),
            output_gap=event["output_gap"],
            projected=bool(event.get("projected")),
        )
        for event in record.events
    ]


def images_of(record: Record, split: Literal["train", "val", "test"]) -> int | None:
    """Read how many images a split had, None where the record does not state it."""
    count = record.environment.get(f"{split}_images")
    return count if isinstance(count, int) else None


def device_of(record: Record) -> str:
    """Read the name of the device that a trial ran on, or else its type; empty where neither is stated."""
    return str(record.environment.get("device_name") or record.environment.get("device") or "")


def widths_of(arch: Mapping[str, Any] | None) -> dict[str, Size]:
    """Read the size of each axis from a network's `arch.json`, in the network's order; empty where there is none."""
    widths = arch["widths"] if arch is not None else {}
    return {name: (int(size["heads"]), int(size["width"])) for name, size in widths.items()}
