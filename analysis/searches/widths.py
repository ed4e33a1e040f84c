"""Draw the widths that each subnet kept, layer by layer, as one picture: units as numbers, shares as shades."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.drawing.fonts import drawable
from analysis.fronts.budgets import budgets
from analysis.fronts.selected_table import human
from analysis.trials.trial import Results, Trial
from ofb_ray.results.history import Size, axis_cuts_of, widths_of
from ofb_ray.results.records import Record

MOST_ROWS = 12
MAP = "Blues"
_BLOCK = re.compile(r"(?:layers\.(\d+)\.)?blocks\.(\d+)\.(\w+)")
_NAMES = {"attn": "", "attn_in": ", inner", "attn_out": ", outer", "mlp": "MLP", "mlp_in": "MLP, inner"}


@dataclass(frozen=True)
class Subnet:
    """A row of the picture: the sizes of its axes by name, and those of the dense network."""

    label: str
    sizes: Mapping[str, Size]
    dense: Mapping[str, Size]


@dataclass(frozen=True)
class Cell:
    """`units` kept of `dense` between two borders of the columns, which are the blocks of the network."""

    left: int
    right: int
    units: int
    dense: int


def subnet_of(record: Record, label: str = "") -> Subnet | None:
    """Return what a trial's search kept; None where there is no architecture.

    A record that does not state the dense sizes has them in its events: of an axis without one there is only one size.
    """
    if record.arch is None:
        return None
    sizes = widths_of(record.arch)
    # The first cut of an axis states its size at the start; later ones are written over.
    dense = dict(record.dense_widths) or sizes | {cut.axis: cut.before for cut in reversed(axis_cuts_of(record))}
    return Subnet(label or f"#{record.trial}", sizes, dense)


def chosen(results: Results) -> tuple[str, list[Trial]]:
    """Choose what the picture shows, in words, and its trials: those on the front of trials.

    Where that is not the front that the figures draw, one of means over seeds or none over mixed data, it is what was
    selected for each budget: a trial of each seed, or the best.
    """
    by_budget = budgets(results)
    if results.mixed or any(budget.setting for budget in by_budget):
        behind = [budget.setting.trials if budget.setting else (budget.best,) for budget in by_budget]
        return "selected subnets", [trial for trials in behind for trial in trials if trial is not None]
    flags = zip(results.trials, results.on_front, strict=True)
    return "subnets on the front", [trial for trial, on_front in flags if on_front]


def subnets(results: Results) -> list[list[Subnet]]:
    """List those of `chosen`, the smallest first; those of networks with other layers in lists of their own."""
    groups: dict[tuple[tuple[str, Size], ...], list[Subnet]] = {}
    for trial in sorted(chosen(results)[1], key=_macs):
        label = f"{trial.budget}  #{trial.name}  {human(_macs(trial))} MACs"
        if trial.record is not None and (subnet := subnet_of(trial.record, label)) is not None:
            groups.setdefault(tuple(subnet.dense.items()), []).append(subnet)
    return list(groups.values())


def thinned(rows: Sequence[Subnet], most: int = MOST_ROWS) -> list[Subnet]:
    """Choose at most so many, evenly spread, both ends among them."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(index)] for index in np.linspace(0, len(rows) - 1, most)]


def panels(subnet: Subnet) -> dict[str, list[Cell]]:
    """Return the cells of a subnet by panel: embeddings, heads, channels per head, MLP."""
    blocks = list(dict.fromkeys(match.group(0).rpartition(".")[0] for match in _blocks(subnet)))
    stages = [name.partition(".blocks")[0] for name in blocks]
    cells: dict[str, list[Cell]] = {}
    for name, size in subnet.sizes.items():
        dense = subnet.dense[name]
        match = _BLOCK.fullmatch(name)
        if match is None:
            title, left, right = _embedding(name, stages)
            cells.setdefault(title, []).append(Cell(left, right, size[1], dense[1]))
            continue
        column, role = blocks.index(name.rpartition(".")[0]), match.group(3)
        parts = [(_NAMES.get(role, role), 1)]
        if role.startswith("attn"):
            suffix = _NAMES.get(role, f", {role}")
            parts = [(f"heads{suffix}", 0), (f"channels per head{suffix}", 1)]
        for title, index in parts:
            cells.setdefault(title, []).append(Cell(column, column + 1, size[index], dense[index]))
    return cells


def columns(subnet: Subnet) -> list[str]:
    """Return the labels of the blocks: the number in the module's name, and the stage in front where there are any."""
    names = [(match.group(1), match.group(2)) for match in _blocks(subnet)]
    return [block if stage is None else f"{stage}.{block}" for stage, block in dict.fromkeys(names)]


def draw_panel(axes: Axes, cells: Sequence[Sequence[Cell]], labels: Sequence[str], ticks: Sequence[str]) -> Any:
    """Draw one panel: a row for each subnet, the first on top; returns what a colour bar needs.

    Args:
        cells: of each subnet.
        labels: of the subnets. ticks: of the blocks; empty leaves them out.
    """
    boxes, shares = [], []
    width = axes.bbox.width / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    count = max(cell.right for row in cells for cell in row)
    for number, row in enumerate(cells):
        for cell in row:
            boxes.append(Rectangle((cell.left, number), cell.right - cell.left, 1))
            share = cell.units / cell.dense
            shares.append(share)
            room = width * (cell.right - cell.left) / count * 72  # points
            size = min(7.0, room / (0.62 * max(2, len(str(cell.dense)))))
            if size >= 3.5:
                colour = "white" if share > 0.6 else "black"
                middle = (cell.left + cell.right) / 2
                axes.text(middle, number + 0.5, str(cell.units), ha="center", va="center", fontsize=size, color=colour)
    filled = PatchCollection(boxes, cmap=MAP, edgecolor="white", linewidth=0.8)
    filled.set_array(np.array(shares))
    filled.set_clim(0, 1)
    axes.add_collection(filled)
    axes.set(xlim=(0, count), ylim=(len(cells), 0))
    axes.set_yticks(np.arange(len(cells)) + 0.5, [drawable(label) for label in labels], fontsize=7)
    axes.set_xticks(np.arange(len(ticks)) + 0.5, ticks, fontsize=7)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return filled


def draw_widths(axes: Sequence[Axes], rows: Sequence[Subnet]) -> Any:
    """Draw the picture on as many axes as `panels` of a row has entries; returns what a colour bar needs."""
    each = [panels(row) for row in rows]
    shades = None
    for number, (ax, title) in enumerate(zip(axes, each[0], strict=True)):
        dense = sorted({cell.dense for cell in each[0][title]})
        ticks = columns(rows[0]) if number == len(each[0]) - 1 else []
        shades = draw_panel(ax, [panel[title] for panel in each], [row.label for row in rows], ticks)
        whole = "/".join(str(size) for size in dense)
        ax.set_title(f"{title} (dense: {whole})", loc="left", fontsize=8, pad=3)
    return shades


def figure(rows: Sequence[Subnet], which: str = "subnets on the front") -> Figure:
    """Make the picture of one list of `subnets`, titled by what `chosen` calls them; an empty one says so."""
    if not rows:
        picture = Figure(figsize=(8.0, 2.0))
        picture.text(0.5, 0.5, "No finished trial: no widths yet", ha="center", va="center", fontsize=14, color="0.35")
        return picture
    shown = thinned(rows)
    names, blocks = list(panels(shown[0])), len(columns(shown[0]))
    height = len(names) * (0.2 * len(shown) + 0.42) + 0.9
    picture = Figure(figsize=(max(7.0, min(12.0, 2.8 + 0.34 * blocks)), height), layout="constrained")
    axes = picture.subplots(len(names), 1, squeeze=False)[:, 0]
    shades = draw_widths(list(axes), shown)
    axes[-1].set_xlabel("stage.block" if any("." in column for column in columns(shown[0])) else "block", fontsize=8)
    bar = picture.colorbar(shades, ax=list(axes), shrink=min(1.0, 2.2 / height), pad=0.015, aspect=18)
    bar.set_label("share of the dense width", fontsize=8)
    hidden = f", {len(shown)} of {len(rows)}" if len(shown) < len(rows) else ""
    picture.suptitle(f"Widths of the {which}{hidden}: units kept", x=0.012, ha="left", fontsize=10, fontweight="bold")
    return picture


def _blocks(subnet: Subnet) -> Iterator[re.Match[str]]:
    return (match for name in subnet.sizes if (match := _BLOCK.fullmatch(name)))


def _embedding(name: str, stages: Sequence[str]) -> tuple[str, int, int]:
    """Return the panel of an axis that is in no block, and the columns that it spans: those of its stage, or all."""
    part = name.partition(".")[2]
    if part.isdecimal():
        members = [index for index, stage in enumerate(stages) if stage == f"layers.{part}"]
        if members:
            return "embedding", members[0], members[-1] + 1
    return f"embedding, {part}" if part else "embedding", 0, max(1, len(stages))


def _macs(trial: Trial) -> int:
    return trial.record.subnet.macs if trial.record and trial.record.subnet else 0
