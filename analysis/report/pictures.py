"""Draw the pictures of the page, as PNG at a size for a screen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from analysis.drawing import hypervolume_growth
from analysis.drawing.fonts import write_around
from analysis.drawing.front import front_figure
from analysis.drawing.style import STYLE
from analysis.fronts.budgets import budgets
from analysis.fronts.objectives import default_x, objective
from analysis.report.page import Picture
from analysis.searches import importances, maps, slices, trajectories, widths
from analysis.searches.explored import groups
from analysis.searches.sentences import title_of
from analysis.searches.trace import trace_of
from analysis.trials.trial import Results

DPI = 110
MOST_NETWORKS = 4
FRONT = (
    "The selected network of each budget, joined, and all other trials; with several seeds means with 95 % t intervals."
)
GROWN = "How the front grew, over trials and, where their times are known, over time."
WIDTHS = "What is left of each layer in the {}, relative to the dense network."
TRAJECTORIES = (
    "The selected trial of each budget: held-out accuracy, expected MACs against the target, cuts and lambda."
)
MAPS = (
    "Importance of every unit and the sparsity that its rank gives it, over the epochs of the search; blank: cut out. "
    "`ofb-ray inspect` draws other trials and axes."
)
IMPORTANCES = "Share of the variance of held-out top-1 that each explored parameter explains (fANOVA)."
SLICES = "Held-out top-1 over each explored parameter."


def pictures(results: Results, folders: Sequence[str | Path]) -> list[Picture]:
    """Draw what can be drawn of these results; nothing where no trial has finished.

    Args:
        folders: as they were given: a trial's trace is fetched from a store.
    """
    if not any(trial.met_budget for trial in results.trials):
        return []
    x = default_x(results)
    cost, top1 = objective(x, results), objective("top1_val", results)
    networks, which = widths.subnets(results)[:MOST_NETWORKS], widths.chosen(results)[0]
    with mpl.rc_context(STYLE):
        drawn: list[tuple[str, str, Figure | None]] = [
            ("The front", FRONT, front_figure(results, x)),
            ("Hypervolume", GROWN, hypervolume_growth.growth_figure(results, cost, top1)),
            *(("Widths of the subnets", WIDTHS.format(which), widths.figure(same, which)) for same in networks),
            *_selected(results, folders),
        ]
        explored = [group for group in groups(results) if group.parameters]
        if explored:
            by_budget = [importances.importance(group) for group in explored]
            if any(each.shares for each in by_budget):
                drawn += [("What the explored parameters matter", IMPORTANCES, importances.figure(by_budget))]
            drawn += [("Explored parameters", SLICES, slices.figure(explored))]
        return [Picture(title, text, _png(figure)) for title, text, figure in drawn if figure is not None]


def _selected(results: Results, folders: Sequence[str | Path]) -> list[tuple[str, str, Figure | None]]:
    """Draw the searches that led to the selected trials, and the maps of that of the smallest budget."""
    best = [budget.best for budget in budgets(results) if budget.best and budget.best.record]
    if not best:
        return []
    shown = [(title_of(trial), trial.record) for trial in best if trial.record]
    drawn: list[tuple[str, str, Figure | None]] = [("Searches", TRAJECTORIES, trajectories.figure(shown))]
    for trial in best[:1]:
        if (trace := trace_of(trial, folders)) is not None:
            drawn.append((f"Score maps of trial {title_of(trial)}", MAPS, maps.figure(trace, "")))
    return drawn


def _png(drawn: Figure) -> bytes:
    """Render with 256 colours: a third of the size, and nothing that an eye would miss in a drawing."""
    write_around(drawn)
    full, small = io.BytesIO(), io.BytesIO()
    drawn.savefig(full, format="png", dpi=DPI)
    with Image.open(full) as image:
        image.convert("RGB").quantize(256).save(small, format="PNG", optimize=True)
    return small.getvalue()
