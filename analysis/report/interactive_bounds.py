"""Draw what limits the interactive front: budgets along its axis, what cannot be reached, what images cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from bokeh.models import CustomJS, CustomJSTickFormatter, FixedTicker, LinearAxis, NoOverlap
from bokeh.models.annotations import BoxAnnotation
from bokeh.models.widgets import Select

from analysis.fronts.front_data import FrontData
from analysis.report.interactive_marks import Marks

GREY = "#ececec"


def draw_budgets(plot: Any, pairs: Mapping[str, FrontData], across: Select) -> list[Marks]:
    """Draw for each quantity that budgets limit an axis above, which names them, and what no subnet can reach.

    Both are seen while this quantity is across. Labels that would collide are left out: their marks stay.

    Args:
        pairs: of each pair of objectives, by the values `up|across` of the choices.
        across: the choice of x.
    Returns:
        Names for the legend.
    """
    drawn: list[Marks] = []
    for data in {data.x.name: data for data in pairs.values()}.values():
        ticks, what = data.ticks
        if not ticks:
            continue
        names = [tick.label if tick.reached else f"× {tick.label}" for tick in ticks]
        lost = "" if all(tick.reached for tick in ticks) else "; ×: no network"
        axis: Any = LinearAxis(
            axis_label=(f"budget ({what})" if what else "budget") + lost,
            axis_label_text_font_style="normal",
            axis_label_standoff=2,
            axis_line_color=None,
            major_label_policy=NoOverlap(min_distance=2),
            major_tick_in=0,
            major_tick_line_width=2,
        )
        axis.ticker = FixedTicker(ticks=[tick.x for tick in ticks])
        code = 'return names[at.findIndex(each => Math.abs(each - tick) <= 1e-9 * Math.abs(each))] || "";'
        axis.formatter = CustomJSTickFormatter(args={"names": names, "at": [tick.x for tick in ticks]}, code=code)
        plot.add_layout(axis, "above")
        parts: list[Any] = [axis]
        if (minimum := data.minimum) is not None:
            parts.append(BoxAnnotation(right=minimum, fill_color="#f7f7f7", hatch_pattern="/", hatch_color="#cccccc"))
            parts[-1].update(fill_alpha=1, hatch_alpha=1, hatch_scale=10, line_color=None, level="underlay")
            plot.add_layout(parts[-1])
            sample = plot.scatter([nan], [nan], marker="square", size=14, color="#f7f7f7", line_color="#cccccc")
            sample.glyph.update(hatch_pattern="/", hatch_color="#cccccc", hatch_scale=6)
            sample.js_link("visible", parts[-1], "visible")
            drawn = [("not reachable", [sample])]
        for part in parts:
            part.visible = across.value == data.x.name
            code = "part.visible = x.value == name;"
            across.js_on_change("value", CustomJS(args={"part": part, "x": across, "name": data.x.name}, code=code))
    return drawn


def draw_noise(plot: Any, pairs: Mapping[str, FrontData], first: str, choices: Sequence[Select]) -> list[Marks]:
    """Shade the accuracies that the images cannot tell from the dense network's; nothing with several seeds.

    Args:
        pairs: as for `draw_budgets`; `first`: the pair that is shown at first.
        choices: across and up.
    """
    bands = {pair: list(data.noise[:2]) if data.noise else None for pair, data in pairs.items()}
    if not any(bands.values()):
        return []
    low, high = bands[first] or (0, 0)
    band = BoxAnnotation(bottom=low, top=high, fill_color=GREY, fill_alpha=1, line_color=None, level="underlay")
    band.visible = bands[first] is not None
    plot.add_layout(band)
    x, y = choices
    code = """
const ends = bands[y.value + "|" + x.value];
band.visible = ends !== null;
if (ends !== null) { band.bottom = ends[0]; band.top = ends[1]; }
"""
    follow = CustomJS(args={"x": x, "y": y, "band": band, "bands": bands}, code=code)
    for choice in choices:
        choice.js_on_change("value", follow)
    sample = plot.scatter([nan], [nan], marker="square", size=14, color=GREY)
    sample.js_link("visible", band, "visible")
    return [("no measurable difference", [sample])]
