"""Offer to notebooks what draws the front: on an Axes of one's own, as a figure, or as files."""

from analysis.drawing.front import front, front_figure, front_files
from analysis.drawing.style import STYLE, figure_files

__all__ = ["STYLE", "figure_files", "front", "front_figure", "front_files"]
