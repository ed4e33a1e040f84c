"""Figures of made-up sweeps, laid out, and what is written in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import figures
from analysis.trials.read import read
from ofb_ray.results.records import Record
from tests.analysis.factory import write


def drawn(trials: list[Record], folder: Path, x: str = "macs") -> Axes:
    """The axes of the figure of these trials, laid out."""
    figure = figures.front_figure(read([write(folder, trials)]), x)
    figure.draw_without_rendering()
    return figure.axes[0]


def figure_of(axes: Axes) -> Figure:
    """The figure that holds these axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def texts(figure: Figure) -> list[str]:
    """All that is written inside the axes and in the legend."""
    axes = figure.axes[0]
    legend = axes.get_legend()
    written = [*axes.texts, *(legend.get_texts() if legend else [])]
    return [text.get_text() for text in written]


def points_of(line: Line2D) -> list[tuple[float, float]]:
    """The points of a line, in the coordinates that it was drawn in."""
    x, y = (np.asarray(each, dtype=float).tolist() for each in line.get_data())
    return list(zip(x, y, strict=True))
