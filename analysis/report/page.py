"""Render the page: facts, tables and pictures put into the template, with every script inside of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bokeh.embed import components
from bokeh.models.ui import UIElement
from bokeh.resources import Resources
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from analysis.report.facts import Facts

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Table:
    """A table for the reader: cells as text, the first column of names; `notes` stand below."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A PNG with what it shows in words."""

    title: str
    text: str
    png: bytes

    @property
    def uri(self) -> str:
        """The picture inside of the page."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Page:
    """What the template shows."""

    title: str
    question: str
    counts: str
    written: str
    open: bool
    facts: Sequence[Facts]
    found: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()
    problems: Sequence[str] = ()
    environment: Sequence[tuple[str, str]] = ()
    costs: Sequence[tuple[str, str]] = ()
    sweep_files: Mapping[str, str] = field(default_factory=dict)
    retry: str = ""
    live: bool = False  # whether a server renews the parts


def render(page: Page, plot: UIElement | None) -> bytes:
    """Render the page as HTML in UTF-8: no address outside of it, the scripts of Bokeh inside."""
    script, figure = components(plot) if plot is not None else ("", "")
    bokeh = _bokeh() if plot is not None else Markup("")
    return _html(page, bokeh, Markup(figure), Markup(script)).encode()


def render_shell(title: str) -> bytes:
    """Render the page of a server: every script and no content, which the page asks for."""
    page = Page(title=title, question="", counts="", written="", open=True, facts=(), live=True)
    return _html(page, _bokeh(), Markup(), Markup()).encode()


def render_part(name: str, content: Any) -> str:
    """Render one part of the page alone.

    Args:
        name: of its macro in `parts.html`.
        content: what that macro takes, `Page` for most.
    """
    return str(getattr(_environment().get_template("parts.html").module, name)(content))


def details(facts: Sequence[Facts]) -> list[list[str]]:
    """List what the table of trials leaves out, a row a trial."""
    return [[each.reason, each.layers, each.rerun, each.export] for each in facts]


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _html(page: Page, bokeh: Markup, figure: Markup, script: Markup) -> str:
    template = _environment().get_template("template.html")
    return template.render(page=page, bokeh=bokeh, figure=figure, script=script, trials=_json(page.facts))


def _bokeh() -> Markup:
    return Markup(Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).render())


def _json(facts: Sequence[Facts]) -> Markup:
    """Serialise what the table of trials leaves out, for the page's script; `<` is escaped so that no text ends it."""
    return Markup(json.dumps(details(facts), separators=(",", ":")).replace("<", "\\u003c"))
