"""The style that all figures share, and the files that a figure is written to."""

from __future__ import annotations

import io
from textwrap import wrap
from typing import Any

from matplotlib.figure import Figure

from analysis.drawing.fonts import drawable, families, write_around

STYLE: Any = {
    "font.family": list(families()),
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.93",
    "hatch.linewidth": 0.6,
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "ofb-ray",
}
KINDS: tuple[tuple[str, dict[str, None]], ...] = (
    ("png", {"Software": None}),
    ("pdf", {"CreationDate": None}),
    ("svg", {"Date": None}),
)
DPI = 200


def figure_files(figure: Figure, name: str) -> dict[str, bytes]:
    """Render a figure as PNG, PDF and SVG, its text as text, within the `STYLE` that it was drawn in."""
    rendered: dict[str, bytes] = {}
    write_around(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the labels are placed: no format may move the axes under them
    for kind, metadata in KINDS:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
        rendered[f"{name}.{kind}"] = buffer.getvalue()
    return rendered


def write_title(figure: Figure, text: str, size: float = 11) -> None:
    """Write a question of up to two lines, at the left, no wider than the figure.

    Args:
        size: of the letters in points, at most: a longer line has smaller ones.
    """
    lines = wrap(drawable(text), 82, max_lines=2, placeholder=" ...")
    written = figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=size, fontweight="bold")
    # Capitals and wide scripts need more room than the characters counted for.
    written.set_fontsize(size * min(1.0, 0.97 * figure.bbox.width / written.get_window_extent().width))
