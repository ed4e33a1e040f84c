"""Open pages in a headless Chromium, and gather what it complains of."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

# The sandbox needs rights that a container seldom has; the others keep the browser off the network.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
NEEDED = "OFB_RAY_BROWSER_NEEDED"


@dataclass
class Opened:
    """A page in the browser; `complaints` are its console's warnings and errors, `asked` what it wanted to load."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a screen; the test is skipped where there is none, unless the environment needs it."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None and not os.environ.get(NEEDED):
        pytest.skip("no Chromium on the PATH: install Debian's package `chromium`")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


def opened(browser: Browser, file: Path, width: int, height: int, touch: bool = False) -> Opened:
    """The file in a window of this size, its figures drawn."""
    made = visited(browser, file.as_uri(), width, height, touch)
    made.page.wait_for_function("!window.Bokeh || (Bokeh.documents.length && Bokeh.documents.every(d => d.is_idle))")
    return made


def visited(browser: Browser, url: str, width: int, height: int, touch: bool = False) -> Opened:
    """The page of an address in a window of this size."""
    page = browser.new_page(viewport={"width": width, "height": height}, has_touch=touch)
    made = Opened(page)
    page.on("console", lambda m: made.complaints.append(m.text) if m.type in ("warning", "error") else None)
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    page.on("request", lambda request: made.asked.append(request.url))
    page.goto(url)
    return made


def pointed_at(page: Page, name: str) -> str:
    """What the figure says when the mouse comes to a trial's mark."""
    x, y = place_of(page, name)
    page.mouse.move(x - 40, y - 40)
    page.mouse.move(x, y, steps=5)
    tip = page.locator(".bk-Tooltip")
    tip.wait_for(state="visible")
    return str(tip.evaluate("each => each.shadowRoot.querySelector('.bk-tooltip-content')?.innerText"))


def place_of(page: Page, name: str) -> tuple[float, float]:
    """Where a trial's mark stands in the window, in pixels."""
    page.locator("#front .bk-Figure").scroll_into_view_if_needed()
    x, y = page.evaluate(
        """name => {
            const plot = Bokeh.index.query_one(view => view.model.type == "Figure");
            const source = plot.model.renderers.map(each => each.data_source)
                .find(each => (each.data.name || []).includes(name));
            const row = source.data.name.indexOf(name), box = plot.el.getBoundingClientRect();
            return [box.x + plot.frame.x_scale.compute(source.data.x[row]),
                    box.y + plot.frame.y_scale.compute(source.data.y[row])];
        }""",
        name,
    )
    return float(x), float(y)
