"""The pictures of the page, as PNG at a size for a screen."""

from __future__ import annotations

import io

import matplotlib as mpl
from matplotlib.figure import Figure

from analysis import figures, growth
from analysis.load import Results
from analysis.objectives import objective
from analysis.report.page import Picture

DPI = 110


def pictures(results: Results) -> list[Picture]:
    """What can be drawn of these results; nothing where no trial has finished."""
    found: list[Picture] = []
    with mpl.rc_context(figures.STYLE):
        grown = growth.draw(results, objective("macs", results), objective("top1_val", results))
        if grown is not None:
            found.append(Picture("Hypervolume", "How the front grew, over trials and over time.", _png(grown)))
    return found


def _png(drawn: Figure) -> bytes:
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
