"""How trials went: held-out accuracy, cost against the target, lambda and cuts over the epochs of all phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from analysis.drawing.marks import COLOURS
from ofb_ray.results.records import Record

NAMES = {"dense": "dense", "search": "search", "finetune": "fine-tune"}
COLOUR = {"dense": COLOURS[0], "search": COLOURS[1], "finetune": COLOURS[2]}
# Phases have a fixed share of the picture, whatever their epochs: most happens during the search.
SHARE = {"dense": 1.0, "search": 3.0, "finetune": 1.5}
MOST = 5
LEAST_GAP = 1e-4
_AREA = 8.0


@dataclass(frozen=True)
class Cut:
    """One cut: after `epoch` epochs of the search begun, over `axes` axes, with the logits' relative change.

    Args:
        units: removed, of all axes. projected: by the projection onto the budget at the end, not by elimination.
        decided: axes that it left one candidate.
    """

    epoch: int
    axes: int
    units: int
    decided: int
    gap: float
    projected: bool


def cuts(record: Record) -> list[Cut]:
    """The cuts of a search in order: events that share epoch, output gap and reason are one rebuild of the network."""

    def key(event: dict[str, Any]) -> tuple[int, float, bool]:
        return event["epoch"], event["output_gap"], bool(event.get("projected"))

    found = []
    for (epoch, gap, projected), group in groupby(record.events, key):
        events = list(group)
        lost = [event["from"][0] * event["from"][1] - event["to"][0] * event["to"][1] for event in events]
        decided = sum(bool(event["decided"]) for event in events)
        found.append(Cut(epoch, sum(units > 0 for units in lost), sum(lost), decided, gap, projected))
    return found


class Phases:
    """Where the epochs of a trial stand: each phase that it went through has its share of the axis."""

    def __init__(self, record: Record) -> None:
        ran = {phase: sum(row["phase"] == phase for row in record.history) for phase in SHARE}
        self.epochs = {phase: count for phase, count in ran.items() if count}
        ends = list(accumulate(SHARE[phase] for phase in self.epochs))
        self.left: dict[str, float] = dict(zip(self.epochs, [0.0, *ends], strict=False))
        self.end: float = ends[-1] if ends else 1.0

    def x(self, phase: str, epoch: float) -> float:
        """The place of `epoch` epochs into a phase."""
        return float(self.left[phase] + SHARE[phase] * epoch / self.epochs[phase])

    def mark(self, axes: Axes) -> None:
        """Limits, borders between phases, and ticks that count the epochs of each phase."""
        ticks: dict[float, str] = {0.0: "0"}
        for phase, count in self.epochs.items():
            parts = (1 / 3, 2 / 3, 1.0) if phase == "search" and count >= 3 else (1.0,)
            ticks |= {self.x(phase, epoch): str(epoch) for epoch in (round(count * part) for part in parts)}
            if self.left[phase]:
                axes.axvline(self.left[phase], color="0.6", lw=0.8, zorder=0)
        axes.set_xlim(0, self.end)
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.tick_params(labelsize=7)
        axes.grid(visible=False, axis="x")


def lam(record: Record, epoch: float) -> float:
    """lambda after `epoch` epochs of the search, from the spec: linear over the warm-up, then constant."""
    search = record.spec["search"]
    progress, warmup = epoch / max(1, search["epochs"]), search["mask_warmup"]
    start, end = float(search["lambda_start"]), float(search["lambda_end"])
    return end if progress >= warmup else start + (end - start) * progress / warmup


def draw_accuracy(axes: Axes, record: Record) -> None:
    """Held-out top-1 over the epochs, a line for each phase; the dash-dotted line is the dense network's."""
    phases = Phases(record)
    for phase in phases.epochs:
        rows = [row for row in record.history if row["phase"] == phase and row.get("top1_val") is not None]
        x, y = [phases.x(phase, row["epoch"]) for row in rows], [row["top1_val"] for row in rows]
        axes.plot(x, y, color=COLOUR[phase], lw=1.2, marker=".", ms=2.5)
    if record.dense is not None and record.dense.top1_val is not None:
        axes.axhline(record.dense.top1_val, color="0.3", lw=0.9, ls="-.", label="dense network")
    phases.mark(axes)


def draw_cost(axes: Axes, record: Record) -> None:
    """Cost over the dense network's: expected, as cut so far (MACs only), and the target."""
    resource, phases = record.budget.resource, Phases(record)
    dense = getattr(record.dense, resource, None)
    if not dense:
        return
    if "dense" in phases.epochs:
        axes.plot([0, phases.x("dense", phases.epochs["dense"])], [1, 1], color=COLOUR["dense"], lw=1.3)
    rows = [row for row in record.history if row["phase"] == "search"]
    if rows:
        x = [phases.x("search", row["epoch"]) for row in rows]
        expected = [row["budget_used"] * record.budget.target / dense for row in rows]
        axes.plot(x, expected, color=COLOUR["search"], lw=1.5, label="expected cost")
        if resource == "macs":
            now = [row["current_macs"] / dense for row in rows]
            axes.plot(x, now, color="0.35", lw=1.0, ls="--", drawstyle="steps-pre", label="cost as cut so far")
    if "finetune" in phases.epochs and record.subnet is not None:
        cost, start = getattr(record.subnet, resource) / dense, phases.left["finetune"]
        axes.plot([start, phases.end], [cost, cost], color=COLOUR["finetune"], lw=1.3)
    axes.axhline(record.budget.target / dense, color="0.3", lw=0.9, ls=":", label="target")
    axes.set_ylim(0, 1.08)
    phases.mark(axes)


def draw_cuts(axes: Axes, record: Record) -> None:
    """Every cut at its output gap: area by units, hollow without any, squares for the projection."""
    phases = Phases(record)
    made = cuts(record) if "search" in phases.epochs else []
    largest = max((cut.units for cut in made), default=0)
    for cut in made:
        area = _AREA * (1 + 8 * cut.units / largest) if largest else _AREA
        colour, marker = (COLOURS[3], "s") if cut.projected else (COLOURS[1], "o")
        place = phases.x("search", max(0.0, cut.epoch - 0.5)), max(cut.gap, LEAST_GAP)
        face = colour if cut.units else "none"
        axes.scatter(*place, s=area, marker=marker, fc=face, ec=colour, lw=0.7, alpha=0.75, zorder=4)
    for marker, colour, face, label in (
        ("o", COLOURS[1], COLOURS[1], "elimination that cuts units"),
        ("o", COLOURS[1], "none", "elimination of candidates only"),
        ("s", COLOURS[3], COLOURS[3], "projection onto the budget"),
    ):
        axes.scatter([], [], s=16, marker=marker, fc=face, ec=colour, lw=0.7, label=label)
    axes.set_yscale("log")
    axes.set_ylim(LEAST_GAP / 2, max(2.0, 1.5 * max((cut.gap for cut in made), default=0.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    phases.mark(axes)


def draw_lambda(axes: Axes, record: Record) -> None:
    """lambda over the epochs of the search."""
    phases = Phases(record)
    count = phases.epochs.get("search", 0)
    steps = [step / 4 for step in range(4 * count + 1)] if count else []
    axes.plot([phases.x("search", step) for step in steps], [lam(record, step) for step in steps], color="0.25", lw=1.2)
    axes.set(ylim=(-0.05, 1.05), yticks=[0, 1])
    phases.mark(axes)


ROWS = (
    ("held-out top-1 (%)", draw_accuracy),
    ("cost / dense", draw_cost),
    ("output gap of cuts", draw_cuts),
    ("lambda", draw_lambda),
)
HEIGHTS = (3.0, 3.0, 2.4, 1.1)


def draw(axes: Sequence[Axes], record: Record, title: str) -> None:
    """One trial on as many axes as `ROWS`, one above the other, with the borders of the phases."""
    phases = Phases(record)
    for ax, (_, drawn) in zip(axes, ROWS, strict=True):
        drawn(ax, record)
    for phase, count in phases.epochs.items():
        middle = (phases.left[phase] + phases.x(phase, count)) / 2 / phases.end
        axes[0].text(middle, 1.02, NAMES[phase], transform=axes[0].transAxes, ha="center", va="bottom", fontsize=7)
    axes[0].set_title(title, fontsize=9, pad=16)
    axes[0].set_ylim(*accuracy_limits([record]))
    axes[-1].set_xlabel("epoch of the phase", fontsize=8)


def accuracy_limits(records: Sequence[Record]) -> tuple[float, float]:
    """Limits that hold all of search and fine-tuning; the first epochs of a dense network may start below them."""
    rows = [row for record in records for row in record.history if row.get("top1_val") is not None]
    values = [row["top1_val"] for row in rows if row["phase"] != "dense"] or [row["top1_val"] for row in rows]
    values += [record.dense.top1_val for record in records if record.dense and record.dense.top1_val is not None]
    if not values:
        return 0.0, 100.0
    room = max(1.0, max(values) - min(values))
    return min(values) - 0.08 * room, max(values) + 0.08 * room


def figure(records: Sequence[tuple[str, Record]]) -> Figure:
    """Trials side by side, each with its title; without any the figure says so."""
    if not records:
        made = Figure(figsize=(8.0, 2.0))
        made.text(0.5, 0.5, "No finished trial: no trajectory yet", ha="center", va="center", fontsize=14, color="0.35")
        return made
    shown = list(records[:MOST])
    made = Figure(figsize=(max(5.5, 2.9 * len(shown) + 0.6), 7.2), layout="constrained")
    grid = made.subplots(len(ROWS), len(shown), squeeze=False, sharex="col", sharey="row", height_ratios=HEIGHTS)
    for column, (title, record) in enumerate(shown):
        draw(list(grid[:, column]), record, title)
    grid[0, 0].set_ylim(*accuracy_limits([record for _, record in shown]))
    for row, (label, _) in enumerate(ROWS):
        grid[row, 0].set_ylabel(label, fontsize=8)
    known = {label: handle for ax in grid[:3, 0] for handle, label in zip(*_legend(ax), strict=True)}
    made.legend(known.values(), known.keys(), loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    hidden = f" ({len(shown)} of {len(records)})" if len(shown) < len(records) else ""
    made.suptitle(f"How the trials went{hidden}", x=0.012, ha="left", fontsize=10, fontweight="bold")
    return made


def _legend(axes: Axes) -> tuple[list[Any], list[Any]]:
    handles, labels = axes.get_legend_handles_labels()
    return list(handles), list(labels)
