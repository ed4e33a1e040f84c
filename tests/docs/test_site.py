"""The site builds strictly, and in a browser no page scrolls sideways, loads from a network or complains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import browser
from tests.docs.tutorial import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_page_fits_a_phone_and_a_screen_and_needs_no_network(site: Path) -> None:
    pages = sorted(path for path in site.rglob("*.html") if path.name != "404.html")
    assert len(pages) >= 25
    faults: list[str] = []
    asked: list[str] = []
    complaints: list[str] = []
    with browser() as chromium:
        for width, height in ((390, 844), (1440, 900)):
            page = chromium.new_page(viewport={"width": width, "height": height})
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            for path in pages:
                page.goto(path.as_uri())
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                if wide > 0:
                    faults.append(f"{path.relative_to(site)} at {width}: {wide} px too wide")
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert complaints == []
    assert faults == []


@pytest.mark.slow
def test_equations_are_mathml(site: Path) -> None:
    text = (site / "explanation" / "method.html").read_text()
    assert text.count("<math ") > 20
    assert "arithmatex" not in text
