"""Draw how trials went: held-out accuracy, cost against the target, lambda and cuts over the epochs of all phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from analysis.drawing.marks import COLOURS
from analysis.trials.compare import spec_value
from ofb_ray.results.history import AxisCut, Phase, axis_cuts_of, epochs_of
from ofb_ray.results.records import Record

NAMES: dict[Phase, str] = {"dense": "dense", "search": "search", "finetune": "fine-tune"}
COLOUR: dict[Phase, str] = {"dense": COLOURS[0], "search": COLOURS[1], "finetune": COLOURS[2]}
# Phases have a fixed share of the picture, whatever their epochs: most happens during the search.
SHARE: dict[Phase, float] = {"dense": 1.0, "search": 3.0, "finetune": 1.5}
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
    """List the cuts of a search in order: axes that share epoch, output gap and reason are one rebuild."""

    def rebuild(cut: AxisCut) -> tuple[int, float, bool]:
        return cut.epoch, cut.output_gap, cut.projected

    rebuilds = []
    for (epoch, gap, projected), group in groupby(axis_cuts_of(record), rebuild):
        axes = list(group)
        decided = sum(cut.decided for cut in axes)
        cutting, units = sum(cut.units > 0 for cut in axes), sum(cut.units for cut in axes)
        rebuilds.append(Cut(epoch, cutting, units, decided, gap, projected))
    return rebuilds


class Phases:
    """Where the epochs of a trial stand: each phase that it went through has its share of the axis."""

    def __init__(self, record: Record) -> None:
        ran = {phase: len(epochs_of(record, phase)) for phase in SHARE}
        self.epochs = {phase: count for phase, count in ran.items() if count}
        ends = list(accumulate(SHARE[phase] for phase in self.epochs))
        self.left: dict[Phase, float] = dict(zip(self.epochs, [0.0, *ends], strict=False))
        self.end: float = ends[-1] if ends else 1.0

    def x(self, phase: Phase, epoch: float) -> float:
        """Return the position of `epoch` epochs into a phase."""
        return float(self.left[phase] + SHARE[phase] * epoch / self.epochs[phase])

    def mark(self, axes: Axes) -> None:
        """Draw limits, borders between phases, and ticks that count the epochs of each phase."""
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
    """Compute lambda after `epoch` epochs of the search, from the spec: linear over the warm-up, then constant."""
    keys = ("epochs", "mask_warmup", "lambda_start", "lambda_end")
    epochs, warmup, start, end = (float(spec_value(record, f"search.{key}")) for key in keys)
    progress = epoch / max(1, epochs)
    return end if progress >= warmup else start + (end - start) * progress / warmup


def draw_accuracy(axes: Axes, record: Record) -> None:
    """Draw held-out top-1 over the epochs, a line for each phase; the dash-dotted line is the dense network's."""
    phases = Phases(record)
    for phase in phases.epochs:
        points = [(each.epoch, each.top1_val) for each in epochs_of(record, phase) if each.top1_val is not None]
        x, y = [phases.x(phase, epoch) for epoch, _ in points], [top1 for _, top1 in points]
        axes.plot(x, y, color=COLOUR[phase], lw=1.2, marker=".", ms=2.5)
    if record.dense is not None and record.dense.top1_val is not None:
        axes.axhline(record.dense.top1_val, color="0.3", lw=0.9, ls="-.", label="dense network")
    phases.mark(axes)


def draw_cost(axes: Axes, record: Record) -> None:
    """Draw cost over the dense network's: expected, as cut so far (MACs only), and the target."""
    resource, phases = record.budget.resource, Phases(record)
    dense = getattr(record.dense, resource, None)
    if not dense:
        return
    if "dense" in phases.epochs:
        axes.plot([0, phases.x("dense", phases.epochs["dense"])], [1, 1], color=COLOUR["dense"], lw=1.3)
    searched = epochs_of(record, "search")
    if searched:
        x = [phases.x("search", each.epoch) for each in searched]
        expected = [_or_nan(each.budget_used) * record.budget.target / dense for each in searched]
        axes.plot(x, expected, color=COLOUR["search"], lw=1.5, label="expected cost")
        if resource == "macs":
            now = [_or_nan(each.current_macs) / dense for each in searched]
            axes.plot(x, now, color="0.35", lw=1.0, ls="--", drawstyle="steps-pre", label="cost as cut so far")
    if "finetune" in phases.epochs and record.subnet is not None:
        cost, start = getattr(record.subnet, resource) / dense, phases.left["finetune"]
        axes.plot([start, phases.end], [cost, cost], color=COLOUR["finetune"], lw=1.3)
    axes.axhline(record.budget.target / dense, color="0.3", lw=0.9, ls=":", label="target")
    axes.set_ylim(0, 1.08)
    phases.mark(axes)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def draw_cuts(axes: Axes, record: Record) -> None:
    """Draw every cut at its output gap: area by units, hollow without any, squares for the projection."""
    phases = Phases(record)
    rebuilds = cuts(record) if "search" in phases.epochs else []
    largest = max((cut.units for cut in rebuilds), default=0)
    for cut in rebuilds:
        area = _AREA * (1 + 8 * cut.units / largest) if largest else _AREA
        colour, marker = (COLOURS[3], "s") if cut.projected else (COLOURS[1], "o")
        position = phases.x("search", max(0.0, cut.epoch - 0.5)), max(cut.gap, LEAST_GAP)
        face = colour if cut.units else "none"
        axes.scatter(*position, s=area, marker=marker, fc=face, ec=colour, lw=0.7, alpha=0.75, zorder=4)
    for marker, colour, face, label in (
        ("o", COLOURS[1], COLOURS[1], "elimination that cuts units"),
        ("o", COLOURS[1], "none", "elimination of candidates only"),
        ("s", COLOURS[3], COLOURS[3], "projection onto the budget"),
    ):
        axes.scatter([], [], s=16, marker=marker, fc=face, ec=colour, lw=0.7, label=label)
    axes.set_yscale("log")
    axes.set_ylim(LEAST_GAP / 2, max(2.0, 1.5 * max((cut.gap for cut in rebuilds), default=0.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    phases.mark(axes)


def draw_lambda(axes: Axes, record: Record) -> None:
    """Draw lambda over the epochs of the search."""
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


def draw_trajectory(axes: Sequence[Axes], record: Record, title: str) -> None:
    """Draw one trial on as many axes as `ROWS`, one above the other, with the borders of the phases."""
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
    """Return limits that hold all of search and fine-tuning; a dense network may start below them."""
    points = [(epoch.phase, epoch.top1_val) for record in records for epoch in epochs_of(record)]
    measured = [(phase, top1) for phase, top1 in points if top1 is not None]
    values = [top1 for phase, top1 in measured if phase != "dense"] or [top1 for _, top1 in measured]
    values += [record.dense.top1_val for record in records if record.dense and record.dense.top1_val is not None]
    if not values:
        return 0.0, 100.0
    room = max(1.0, max(values) - min(values))
    return min(values) - 0.08 * room, max(values) + 0.08 * room


def figure(records: Sequence[tuple[str, Record]]) -> Figure:
    """Draw trials side by side, each with its title; without any the figure says so."""
    if not records:
        picture = Figure(figsize=(8.0, 2.0))
        picture.text(
            0.5, 0.5, "No finished trial: no trajectory yet", ha="center", va="center", fontsize=14, color="0.35"
        )
        return picture
    shown = list(records[:MOST])
    picture = Figure(figsize=(max(5.5, 2.9 * len(shown) + 0.6), 7.2), layout="constrained")
    grid = picture.subplots(len(ROWS), len(shown), squeeze=False, sharex="col", sharey="row", height_ratios=HEIGHTS)
    for column, (title, record) in enumerate(shown):
        draw_trajectory(list(grid[:, column]), record, title)
    grid[0, 0].set_ylim(*accuracy_limits([record for _, record in shown]))
    for row, (label, _) in enumerate(ROWS):
        grid[row, 0].set_ylabel(label, fontsize=8)
    known = {label: handle for ax in grid[:3, 0] for handle, label in zip(*_legend(ax), strict=True)}
    picture.legend(known.values(), known.keys(), loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    hidden = f" ({len(shown)} of {len(records)})" if len(shown) < len(records) else ""
    picture.suptitle(f"How the trials went{hidden}", x=0.012, ha="left", fontsize=10, fontweight="bold")
    return picture


def _legend(axes: Axes) -> tuple[list[Any], list[Any]]:
    handles, labels = axes.get_legend_handles_labels()
    return list(handles), list(labels)
