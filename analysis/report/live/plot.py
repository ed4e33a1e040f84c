"""Turn the interactive front into what the page can put in the place of an earlier one."""

from __future__ import annotations

import hashlib
from typing import Any

from bokeh.embed import json_item
from bokeh.model.util import collect_models
from bokeh.models.ui import UIElement

# The kinds of models whose values the page moves from a new front into the one that is seen (live.js).
MOVED = (
    "ColumnDataSource",
    "CustomJS",
    "CustomJSTickFormatter",
    "FixedTicker",
    "BoxAnnotation",
    "LegendItem",
    "LinearAxis",
    "Select",
)


def plot_item(plot: UIElement | None) -> tuple[dict[str, Any] | None, str]:
    """Serialise a front, and tell its shape: fronts of one shape consist of the same models in the same order.

    The models that the page knows get names by their order.

    Returns:
        The item for `Bokeh.embed.embed_item`, None without a plot; the shape.
    """
    if plot is None:
        return None, ""
    models = collect_models(plot)
    kinds = [type(model).__name__ for model in models]
    for number, (model, kind) in enumerate(zip(models, kinds, strict=True)):
        if kind in MOVED:
            model.name = f"live-{number}"
    shape = hashlib.sha256(" ".join(kinds).encode()).hexdigest()[:16]
    return dict(json_item(plot)), shape
