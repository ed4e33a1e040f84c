"""The front as a figure that goes into a talk as it is: held-out accuracy over MACs."""

from __future__ import annotations

import io
from collections import Counter
from itertools import pairwise
from statistics import fmean
from textwrap import shorten, wrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from analysis.budgets import Budget, Dense, budgets, dense_networks
from analysis.labels import place
from analysis.load import Results, Trial
from analysis.scale import (
    Point,
    accuracy_limits,
    all_macs,
    macs_limits,
    minimum_of,
    points_of,
    split_collapsed,
    targets_of,
    unit_of,
)

# Okabe and Ito's colours without yellow and black; the markers differ too, so that the figure reads in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "P", "h", "p", "d")
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.93",
    "hatch.linewidth": 0.6,
    "text.parse_math": False,
    "pdf.fonttype": 42,
}
CENTRED: Any = {"ha": "center", "va": "center", "zorder": 9, "bbox": {"fc": "white", "ec": "none"}}
SIZE, DPI = (8.0, 5.0), 200
EDGE = 0.035  # height of the marks at the bottom edge, as a share of the axes
CROWD = 6  # above this number of labels they are the test top-1 alone
MANY = 60  # above this number of trials the dots are smaller


def render(results: Results) -> dict[str, bytes]:
    """The figure as files: `front.png` and `front.pdf`. Equal results give equal bytes."""
    files: dict[str, bytes] = {}
    with mpl.rc_context(STYLE):
        figure = draw(results)
        for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
            files[f"front.{kind}"] = buffer.getvalue()
    return files


def draw(results: Results) -> Figure:
    """The figure: works with no finished trial, with one, and with hundreds."""
    groups, dense = budgets(results), dense_networks(results)
    points = points_of(results, groups)
    shown, collapsed = split_collapsed(points)
    lost = [trial for trial in results.trials if trial.status in ("failed", "stopped")]
    unit, unit_name = unit_of(all_macs(points, groups, dense))
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    left, right, log = macs_limits([macs / unit for macs in all_macs(shown, groups, dense)])
    axes.set_xscale("log" if log else "linear")
    axes.set_xlim(left, right)
    values = [point.top1 for point in shown] + [size.top1_val for size in dense if size.top1_val is not None]
    axes.set_ylim(*accuracy_limits(values, marks=bool(lost or collapsed)))
    axes.set_xlabel(f"MACs per image{unit_name}")
    axes.set_ylabel("held-out top-1 (%)")
    if log:
        axes.xaxis.set_major_formatter("{x:g}")
    if not points:
        axes.text(0.5, 0.5, "No finished trial", transform=axes.transAxes, fontsize=16, color="0.35", **CENTRED)
    _draw_points(axes, shown, groups, unit)
    _draw_dense(axes, dense, unit)
    _draw_limits(axes, groups, unit)
    _draw_edge(axes, lost, collapsed, groups, unit)
    question = wrap(results.question or results.name, 82, max_lines=2, placeholder=" ...")
    title = figure.suptitle("\n".join(question), x=0.012, ha="left", fontsize=11, fontweight="bold")
    # Capitals and wide scripts need more room than the characters counted for.
    title.set_fontsize(11 * min(1.0, 0.97 * figure.bbox.width / title.get_window_extent().width))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False, fontsize=8)
    _draw_labels(axes, shown, dense, unit)
    return figure


def _draw_points(axes: Axes, shown: list[Point], groups: list[Budget], unit: float) -> None:
    """Filled dots; hollow ones are over their budget; the selected one of each budget is large, with a black edge."""
    area = 46 if len(shown) <= MANY else 20
    for number, group in enumerate(groups):
        mine = [point for point in shown if point.budget == number]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        for point in mine:
            face = colour if point.trial.met_budget else "none"
            edge = "black" if point.selected else "white" if point.trial.met_budget else colour
            size, alpha, layer = (2.2 * area, 1.0, 5) if point.selected else (area, 0.7, 4)
            axes.scatter(
                point.macs / unit,
                point.top1,
                s=size,
                c=face,
                marker=marker,
                alpha=alpha,
                edgecolors=edge,
                lw=0.9 if len(shown) <= MANY else 0.3,
                zorder=layer,
            )
        label = f"budget {shorten(group.label, 22, placeholder='...')} (n = {len(mine)})"
        axes.scatter([], [], s=46, c=colour, marker=marker, edgecolors="white", label=label)
    if any(point.selected for point in shown):
        axes.scatter([], [], s=90, c="white", marker="o", edgecolors="black", label="selected, with its test top-1")
    if any(not point.trial.met_budget for point in shown):
        axes.scatter([], [], s=46, c="white", marker="o", edgecolors="0.4", label="over its budget")
    front = sorted((point.macs / unit, point.top1) for point in shown if point.on_front)
    if front:
        x, y = zip(*front, strict=True)
        axes.plot(x, y, color="0.25", lw=1.5, drawstyle="steps-post", zorder=3, label="Pareto front")


def _draw_dense(axes: Axes, dense: list[Dense], unit: float) -> None:
    known = [(size, size.top1_val) for size in dense if size.top1_val is not None]
    for number, (size, top1) in enumerate(known):
        text = f"dense network ({top1:.1f} %{f', n = {size.count}' * (size.count > 1)})"
        label = (text if len(known) == 1 else "dense networks") if number == 0 else ""
        axes.plot(size.macs / unit, top1, "*", ms=15, color="black", mec="white", ls="none", zorder=6, label=label)
        if len(known) == 1:
            axes.axhline(top1, color="black", lw=0.9, ls="--", zorder=1.5)


def _draw_limits(axes: Axes, groups: list[Budget], unit: float) -> None:
    """Budget targets, labelled above the axes, and what no subnet can reach."""
    targets = [
        (target / unit, shorten(", ".join(names), 26, placeholder="..."))
        for target, names in targets_of(groups).items()
    ]
    places = [axes.transAxes.inverted().transform(axes.transData.transform((x, 1)))[0] for x, _ in targets]
    # A character is about 1.3 % of the axes wide.
    crowded = any(np.diff(places) < 0.013 * (max((len(label) for _, label in targets), default=0) + 2))
    above = blended_transform_factory(axes.transData, axes.transAxes)
    for number, (x, label) in enumerate(targets):
        axes.axvline(x, color="0.55", lw=0.8, zorder=1, label="" if number else "budget limit")
        text = axes.text(x, 1.012, label, transform=above, ha="left" if crowded else "center", fontsize=8, color="0.3")
        text.set_rotation(40 if crowded else 0)
        text.set_rotation_mode("anchor")
    if (minimum := minimum_of(groups)) is not None:
        left = axes.get_xlim()[0]
        axes.axvspan(left, minimum / unit, fc="0.97", ec="0.8", hatch="///", lw=0, zorder=0.5, label="not reachable")
        axes.axvline(minimum / unit, color="0.4", lw=1, ls=":", zorder=1)


def _draw_edge(axes: Axes, lost: list[Trial], collapsed: list[Point], groups: list[Budget], unit: float) -> None:
    """Marks at the bottom edge for trials that have no place on the scale: collapsed, failed, stopped."""
    bottom = blended_transform_factory(axes.transData, axes.transAxes)
    if collapsed:
        low, high = min(point.top1 for point in collapsed), max(point.top1 for point in collapsed)
        values = f"{low:.0f} %" if high - low < 1 else f"{low:.0f}-{high:.0f} %"
        label = f"off the scale: {len(collapsed)} at {values}"
        macs = [point.macs / unit for point in collapsed]
        colours = [COLOURS[point.budget % len(COLOURS)] for point in collapsed]
        axes.scatter(macs, [0.1] * len(macs), s=30, c=colours, marker="v", transform=bottom, zorder=5)
        axes.scatter([], [], s=30, c="0.4", marker="v", label=label)
    labelled = {group.label: group for group in groups}
    named = [f"{trial.sweep} {trial.budget}" if trial.sweep else trial.budget for trial in lost]
    # Where every trial of a budget died before its target was known, there is no place for them.
    places = Counter(_edge_place(axes, labelled[name], unit) for name in named if name in labelled)
    for x, count in places.items():
        axes.scatter(x, EDGE, s=40, c="#B00000", marker="x", transform=bottom, zorder=5)
        if count > 1:
            axes.text(x, EDGE, f"  × {count}", transform=bottom, va="center", fontsize=8, color="#B00000", zorder=5)
    if lost:
        states = Counter(trial.status for trial in lost)
        label = ", ".join(f"{count} {status}" for status, count in sorted(states.items()))
        axes.scatter([], [], s=40, c="#B00000", marker="x", label=label)


def _edge_place(axes: Axes, group: Budget, unit: float) -> float:
    """Where a trial without a subnet stands: at its target, or at the MACs of others with its budget of parameters."""
    if group.outcome.resource == "macs":
        return group.outcome.target / unit
    macs = [trial.record.subnet.macs for trial in group.trials if trial.record and trial.record.subnet]
    return fmean(macs) / unit if macs else fmean(axes.get_xlim())


def _draw_labels(axes: Axes, shown: list[Point], dense: list[Dense], unit: float) -> None:
    """The number and the top-1 test of each selected trial."""
    chosen = [(point, point.trial.record.subnet) for point in shown if point.selected and point.trial.record]
    labels = []
    for point, subnet in chosen:
        name, test = f"#{point.trial.number}", subnet.top1_test if subnet else None
        text = name if test is None else f"{test:.1f}" if len(chosen) > CROWD else f"{name}: test {test:.1f} %"
        labels.append((point.macs / unit, point.top1, text))
    stars = [(size.macs / unit, size.top1_val) for size in dense if size.top1_val is not None]
    front = sorted((point.macs / unit, point.top1) for point in shown if point.on_front)
    lines = [(x, y) for (left, y), (right, _) in pairwise(front) for x in np.linspace(left, right, 24)]
    lines += [(x, y) for (_, low), (x, high) in pairwise(front) for y in np.linspace(low, high, 24)]
    lines += [(x, y) for _, y in stars[:1] for x in np.linspace(*axes.get_xlim(), 48)]
    place(axes, labels, [(point.macs / unit, point.top1) for point in shown] + stars, lines)
