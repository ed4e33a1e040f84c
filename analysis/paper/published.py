"""Read published numbers to compare with, each with its source (see `analysis/reference/README.md`)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from analysis.names import STARTS

Table = Literal["imagenet", "search_cost", "transfer"]
TABLES: tuple[Table, ...] = ("imagenet", "search_cost", "transfer")


@dataclass(frozen=True)
class Published:
    """One published result. None is what its source does not print.

    Args:
        start: fairness class, a key of `analysis.names.STARTS`.
        top1, top5: percentages on the test split of `data`.
        params, macs: counts. What this literature calls FLOPs are multiply-accumulates.
        search_gpu_days: of the search alone, without fine-tuning.
        table: the table of the source that it stands in, a short id.
        own: printed by the method's own source, not by another's.
        note: what a reader of the number must know.
    """

    method: str
    backbone: str
    start: str
    top1: float | None
    top5: float | None
    params: float | None
    macs: float | None
    search_gpu_days: float | None
    table: str
    source: str
    own: bool
    data: str = "ImageNet-1k"
    note: str = ""


def published(table: Table = "imagenet") -> list[Published]:
    """Read the rows of one table, in the order of its file.

    imagenet: accuracy over cost. search_cost: GPU days of a search. transfer: accuracy on other data sets.
    """
    text = (files("analysis") / "reference" / f"{table}.csv").read_text(encoding="utf-8")
    return parse(text)


def parse(text: str) -> list[Published]:
    """Read the rows of a reference CSV.

    Raises:
        ValueError, KeyError: a number cannot be read, a column is missing.
    """
    return [_row(cells) for cells in csv.DictReader(text.splitlines())]


def faults(rows: Iterable[Published]) -> list[str]:
    """List what is wrong with the rows, a line each: no source, an unknown start, numbers that cannot be."""
    lines = []
    for row in rows:
        name = f"{row.method} ({row.table})"
        if not row.source.strip():
            lines.append(f"{name} has no source")
        if row.start not in STARTS:
            lines.append(f"{name} has the unknown start {row.start!r}")
        if any(value is not None and not 0 < value <= 100 for value in (row.top1, row.top5)):
            lines.append(f"{name} has an accuracy outside 0 to 100")
        if row.top1 is not None and row.top5 is not None and row.top5 < row.top1:
            lines.append(f"{name} has a top-5 below its top-1")
        if any(value is not None and value <= 0 for value in (row.params, row.macs, row.search_gpu_days)):
            lines.append(f"{name} has a cost that is not positive")
    return lines


def _row(cells: dict[str, str]) -> Published:
    params, macs = _number(cells["params_m"]), _number(cells["gmacs"])
    return Published(
        method=cells["method"],
        backbone=cells["backbone"],
        start=cells["start"],
        top1=_number(cells["top1"]),
        top5=_number(cells["top5"]),
        params=None if params is None else params * 1e6,
        macs=None if macs is None else macs * 1e9,
        search_gpu_days=_number(cells["search_gpu_days"]),
        table=cells["table"],
        source=cells["source"],
        own=cells["own"] == "true",
        data=cells["data"],
        note=cells["note"],
    )


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
