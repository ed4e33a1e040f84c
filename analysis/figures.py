"""The front as a figure that goes into a paper as it is: by default held-out accuracy over MACs.

`front` draws on an Axes of your own; `draw` makes a figure of it, `render` the files.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from textwrap import fill, wrap
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from analysis.drawing import captions, marks
from analysis.fronts.baselines import Rival, footnote
from analysis.fronts.objectives import Objective, objective
from analysis.fronts.scale import FrontData, front_data, limits, unit_of
from analysis.load import Results

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
    "svg.fonttype": "none",
    "svg.hashsalt": "ofb-ray",
}
KINDS: tuple[tuple[str, dict[str, None]], ...] = (
    ("png", {"Software": None}),
    ("pdf", {"CreationDate": None}),
    ("svg", {"Date": None}),
)
CENTRED: Any = {"ha": "center", "va": "center", "zorder": 9, "bbox": {"fc": "white", "ec": "none"}}
SIZE, WIDE, DPI = (8.0, 5.0), (10.0, 6.2), 200
REPORTED = "reported only: selection is by held-out top-1"


def render(
    results: Results, x: str = "macs", y: str = "top1_val", rivals: Sequence[Rival] = (), name: str = "front"
) -> dict[str, bytes]:
    """The figure as the files `name`.png, .pdf and .svg. Equal results give equal bytes."""
    with mpl.rc_context(STYLE):
        return files(draw(results, x, y, rivals), name)


def files(figure: Figure, name: str) -> dict[str, bytes]:
    """A figure as PNG, PDF and SVG, the last with its text as text. To be called in the `STYLE` it was drawn in."""
    found: dict[str, bytes] = {}
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the labels have their places: no format may move the axes under them
    for kind, metadata in KINDS:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
        found[f"{name}.{kind}"] = buffer.getvalue()
    return found


def draw(results: Results, x: str = "macs", y: str = "top1_val", rivals: Sequence[Rival] = ()) -> Figure:
    """The figure: works with no finished trial, with one, and with thousands."""
    figure = Figure(figsize=WIDE if rivals else SIZE, dpi=DPI, layout="constrained")
    title(figure, results.question or results.name)
    if rivals:
        note = fill(footnote(rivals), 190)
        figure.supxlabel(note, x=0.012, ha="left", fontsize=6.5, color="0.3")
    front(results, figure.add_subplot(), x, y, rivals)
    return figure


def front(
    results: Results, axes: Axes, x: str = "macs", y: str = "top1_val", rivals: Sequence[Rival] = ()
) -> FrontData:
    """Draw the front of `y` over `x` on the axes, legend at their right, and say what was drawn.

    Trials are dots, over-budget ones hollow, failed and collapsed ones marks at the lower edge. With several seeds the
    large marks and the front are means (`analysis.fronts.seeds`), with 95 % t intervals.

    Args:
        x, y: names of objectives (`analysis.fronts.objectives.NAMES`).
        rivals: published results to show beside, in the units of `x` and `y`.

    Raises:
        InputError: there is no such objective.
    """
    what = front_data(results, objective(x, results, "x"), objective(y, results, "y"))
    unit = _set_axes(axes, what, rivals)
    if not (what.shown or what.collapsed):
        axes.text(0.5, 0.5, _nothing(what), transform=axes.transAxes, fontsize=14, color="0.35", **CENTRED)
    marks.points(axes, what, unit)
    marks.means(axes, what, unit)
    marks.front(axes, what, unit)
    marks.dense(axes, what, unit)
    marks.bounds(axes, what, unit)
    marks.edge(axes, what, unit)
    marks.rivals(axes, rivals, unit)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False, fontsize=8)
    captions.write(axes, what, rivals, unit)
    return what


def title(figure: Figure, text: str) -> None:
    """A question of up to two lines, at the left, no wider than the figure."""
    lines = wrap(text, 82, max_lines=2, placeholder=" ...")
    written = figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=11, fontweight="bold")
    # Capitals and wide scripts need more room than the characters counted for.
    written.set_fontsize(11 * min(1.0, 0.97 * figure.bbox.width / written.get_window_extent().width))


def _set_axes(axes: Axes, what: FrontData, rivals: Sequence[Rival]) -> marks.Unit:
    """Limits, scales and labels of both axes; the units in which they are drawn."""
    values = (what.all_x() + [rival.x for rival in rivals], what.all_y() + [rival.y for rival in rivals])
    units, names = zip(
        *(unit_of(some, each.kind) for some, each in zip(values, (what.x, what.y), strict=True)), strict=True
    )
    for axis, some, each, unit, name in zip("xy", values, (what.x, what.y), units, names, strict=True):
        room = axis == "y" and bool(what.lost or what.collapsed)
        low, high, log = limits([value / unit for value in some], each.kind, room)
        axes.set(**{f"{axis}scale": "log" if log else "linear", f"{axis}lim": (low, high)})
        axes.set(**{f"{axis}label": _label(each, name)})
        if log:
            ticks = axes.xaxis if axis == "x" else axes.yaxis
            ticks.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
            ticks.set_major_formatter("{x:g}")
            ticks.set_minor_formatter(NullFormatter())
    return marks.Unit(*units)


def _label(each: Objective, unit: str) -> str:
    return f"{each.label}{unit}" + (f"\n{REPORTED}" if each.is_test else "")


def _nothing(what: FrontData) -> str:
    if not what.unmeasured:
        return "No finished trial"
    missing = next((each for each in (what.x, what.y) if each.remedy), None)
    name = (missing or what.x).name
    return f"No finished trial has a value of {name}" + (f"\n{missing.remedy}" if missing else "")
