"""Make the pictures of the docs from a real run: the terminal while a sweep runs, its front, its report.

    python -m docs.tools.pictures [--results FOLDER]

Runs the demo sweep in a new folder under tmux, keeps its terminal when half of the trials are done, and opens the
report in Chromium. `--results` names a finished demo sweep instead, and leaves the picture of the terminal as it is.
The sweep runs for some minutes: change no code meanwhile.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parent.parent.parent
SITE = ROOT / "docs"
SWEEP = ROOT / "sweeps" / "scenes.yaml"
COLUMNS, LINES = 104, 30
BROWSER = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_SESSION = "ofb-ray-pictures"


def main(argv: Sequence[str] | None = None) -> int:
    """Make all pictures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.tools.pictures", description=__doc__)
    parser.add_argument("--results", type=Path, help="results folder of a finished demo sweep (default: run one)")
    results = parser.parse_args(argv).results
    with tempfile.TemporaryDirectory() as folder:
        if results is None:
            results = Path(folder) / "results" / "scenes"
            (SITE / "terminal.svg").write_text(svg(run_demo(Path(folder))), encoding="utf-8")
        made = Path(folder) / "analysis"
        for module in ("pareto", "report"):
            subprocess.run([sys.executable, "-m", f"analysis.{module}", results, "--out", made], cwd=ROOT, check=True)
        shutil.copy(made / "front.png", SITE / "front.png")
        picture_of_report(made / "report.html", SITE / "report.png")
    return 0


def run_demo(folder: Path) -> str:
    """Run the demo sweep to its end in a terminal of tmux.

    Returns:
        The terminal when half of the trials were done, with its ANSI colours.
    Raises:
        RuntimeError: that was never seen.
    """
    ofb_ray, storage = f"{sys.executable} -m ofb_ray", f"--storage {folder / 'results'}"
    sweep = SWEEP.relative_to(ROOT)  # as a user types it; the terminal shows it
    command = f"{ofb_ray} preview {sweep} {storage}; clear; {ofb_ray} sweep {sweep} {storage}; sleep 2"
    command = f"export OMP_NUM_THREADS=1; {command}"  # as `make demo` runs it: the numbers are those of the threads
    size = ["-x", str(COLUMNS), "-y", str(LINES)]
    subprocess.run(["tmux", "new-session", "-d", "-s", _SESSION, *size, command], cwd=ROOT, check=True)
    kept = ""
    while (screen := _capture()) is not None:
        done = re.search(r"(\d+) of (\d+) done, about", Text.from_ansi(screen).plain)
        if not kept and done and 2 * int(done[1]) >= int(done[2]):
            kept = screen
        time.sleep(1)
    if not kept:
        raise RuntimeError("the sweep ended before half of its trials were seen to be done")
    return kept


def svg(screen: str) -> str:
    """A terminal's text with ANSI colours as an SVG without references to a network."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(screen.rstrip()), no_wrap=True)
    text = console.export_svg(title="ofb-ray sweep sweeps/scenes.yaml", theme=MONOKAI, unique_id="terminal")
    return re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->", "", text, flags=re.DOTALL).replace(
        "Fira Code", "DejaVu Sans Mono"
    )


def picture_of_report(page: Path, picture: Path) -> None:
    """Open a report, choose the first trial on its front, and keep what the window shows."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(BROWSER))
        window = browser.new_page(viewport={"width": 1100, "height": 1010})
        window.goto(page.absolute().as_uri())
        window.wait_for_function("Bokeh.documents.length && Bokeh.documents.every(each => each.is_idle)")
        window.locator("tbody tr.on").first.click()
        window.evaluate("scrollTo(0, 0)")
        window.screenshot(path=str(picture))
        browser.close()


def _capture() -> str | None:
    """What the terminal shows, or None when the command has ended."""
    done = subprocess.run(["tmux", "capture-pane", "-e", "-p", "-t", _SESSION], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
