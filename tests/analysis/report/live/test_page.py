"""The live page as its reader meets it: what is new appears without a reload, what the reader has chosen stays."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from ofb_ray.results.files import Progress, trial_folder
from ofb_ray.results.records import write_record
from tests.analysis.factory import record, write, write_open
from tests.analysis.report.live.conftest import Serve, worked_on
from tests.analysis.report.test_page import TRIALS
from tests.browser import place_of, pointed_at, visited

FIGURE = "Bokeh.index.query_one(v => v.model.type == 'Figure')"
EVIL = '</script><script>document.title = "taken"</script><img src=x onerror="document.title=1">'


def drawn(page: Page) -> None:
    """Wait until the figure is seen."""
    page.wait_for_function("window.Bokeh && Bokeh.documents.length && Bokeh.documents.every(d => d.is_idle)")


def rows(page: Page) -> list[str]:
    """The trials that the table shows, in its order."""
    return page.locator("#all tbody tr:not([hidden]) td:first-child").all_inner_texts()


def labels(page: Page) -> Any:
    """What the axes of the figure say."""
    return page.evaluate(
        f"() => {{ const p = {FIGURE}.model; return [p.below[0], p.left[0]].map(a => a.axis_label); }}"
    )


def names(page: Page) -> Any:
    """The trials that have a mark in the figure."""
    code = "p.renderers.flatMap(r => r.data_source.data.name || []).sort()"
    return page.evaluate(f"() => {{ const p = {FIGURE}.model; return {code}; }}")


def has_mark(page: Page, name: str) -> None:
    """Wait until a trial has a mark in the figure."""
    code = "p.renderers.some(r => (r.data_source.data.name || []).includes(name))"
    page.wait_for_function(f"name => {{ const p = {FIGURE}?.model; return p && {code}; }}", arg=name, timeout=15_000)


@pytest.mark.parametrize(("width", "height"), [(1440, 1000), (390, 844)])
def test_a_trial_that_finishes_appears_and_choices_stay(
    chromium: Browser, tmp_path: Path, served: Serve, width: int, height: int
) -> None:
    folder = write(tmp_path / "digits", TRIALS)
    write_open(folder, 4, running=True)
    server = served(folder)
    with worked_on(folder, 4):
        shown = visited(chromium, server.url, width, height)
        page = shown.page
        drawn(page)
        page.evaluate("window.same = true")  # a reload would forget it
        page.locator("#front select").nth(0).select_option(label="parameters")
        page.get_by_role("button", name="top-1 val").click()
        page.locator("#filter").fill("finished")
        page.mouse.click(*place_of(page, "2"))
        page.locator("#trial").get_by_text("Trial 2").wait_for()
        said = page.locator("#running").inner_text()
        assert "Trial 4" in said
        assert "search, epoch 2 of 30" in said
    figure = page.evaluate_handle(FIGURE)
    before = labels(page)
    write_record(trial_folder(folder, 4), record(4, 0.75, 98.3))
    has_mark(page, "4")
    assert page.evaluate("each => each === " + FIGURE, figure)  # values moved into the figure that is seen
    assert labels(page) == before
    assert before[0] == "parameters"
    assert rows(page) == ["4", "2", "1", "0"]
    assert page.locator("#filter").input_value() == "finished"
    assert page.locator("tr.chosen td").first.inner_text() == "2"
    assert "98.3" in page.locator("#tables").inner_text()
    assert "No trial is running." in page.locator("#running").inner_text()
    x, y = place_of(page, "4")
    box = page.locator("#front .bk-Figure").bounding_box()
    assert box is not None
    assert box["x"] < x < box["x"] + box["width"]
    assert box["y"] < y < box["y"] + box["height"]
    assert page.evaluate("window.same")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.complaints == []
    assert {url.partition("?")[0] for url in shown.asked if not url.startswith(("data:", "blob:"))} == {
        server.url + name for name in ("", "live.json", "report.json", "pictures.json")
    }


def test_a_figure_that_gets_new_kinds_of_marks_keeps_the_axes(chromium: Browser, tmp_path: Path, served: Serve) -> None:
    folder = write(tmp_path / "digits", [])
    write_open(folder, 0, running=False)
    shown = visited(chromium, served(folder).url, 1440, 1000)
    page = shown.page
    page.locator("#plot", has_text="No trial has a measured subnet yet.").wait_for()
    write_record(trial_folder(folder, 0), record(0, 0.5, 97.0))
    has_mark(page, "0")
    page.locator("#front select").nth(1).select_option(label="test top-1 (%)")
    assert "2.24" not in pointed_at(page, "0")
    before = labels(page)
    write_record(trial_folder(folder, 1), record(1, 0.5, 97.5, seed=1))  # a second seed: means
    write_record(trial_folder(folder, 2), record(2, 0.25, 96.0))
    has_mark(page, "2")
    drawn(page)
    assert labels(page) == before
    assert "takes no part in the selection" in before[1]
    assert names(page) == ["0", "1", "2"]
    assert page.locator("#plot .bk-Figure").count() == 1
    assert shown.complaints == []


def test_zoom_and_hidden_marks_stay_in_the_same_figure_and_in_a_new_one(
    chromium: Browser, tmp_path: Path, served: Serve
) -> None:
    def state(page: Page) -> Any:
        ranges = "[p.x_range.start, p.x_range.end, p.y_range.start, p.y_range.end]"
        star = "p.renderers.filter(r => r.glyph.size?.value === 18).map(r => r.visible)"
        return page.evaluate(f"() => {{ const p = {FIGURE}.model; return [{ranges}, {star}]; }}")

    folder = write(tmp_path / "digits", TRIALS)
    shown = visited(chromium, served(folder).url, 1440, 1000)
    page = shown.page
    drawn(page)
    x, y = place_of(page, "2")
    page.mouse.move(x - 60, y + 60)
    page.mouse.down()
    page.mouse.move(x - 20, y + 80, steps=4)
    page.mouse.up()
    page.evaluate(
        f"() => {{ const p = {FIGURE}.model; const items = p.below[1].items;"
        "items.find(i => i.label.value === 'dense network').renderers.forEach(r => r.visible = false); }"
    )
    before = state(page)
    assert before[0][0] < 0  # dragged: the axis begins at zero by itself
    assert before[1] == [False]
    figure = page.evaluate_handle(FIGURE)
    write_record(trial_folder(folder, 4), record(4, 0.75, 98.3))
    has_mark(page, "4")
    assert page.evaluate("each => each === " + FIGURE, figure)
    assert state(page) == before
    write_record(trial_folder(folder, 5), record(5, 0.25, 96.2, seed=1))  # means: a figure of other marks
    has_mark(page, "5")
    assert not page.evaluate("each => each === " + FIGURE, figure)
    drawn(page)
    assert state(page) == before
    write_record(trial_folder(folder, 6), record(6, 0.75, 90.0, seed=1))
    has_mark(page, "6")
    page.wait_for_timeout(300)
    assert state(page) == before
    assert shown.complaints == []


def test_foreign_text_stays_text(chromium: Browser, tmp_path: Path, served: Serve) -> None:
    folder = write(tmp_path / "digits", TRIALS, name="digits", question=EVIL)
    write_open(folder, 4, running=True)
    (trial_folder(folder, 4) / "trial.log").write_text(f"{EVIL}\n\x1b[31mred\n")
    Progress(phase=EVIL, epoch=1, message=EVIL, progress=0.1, time=time.time()).write(trial_folder(folder, 4))
    with worked_on(folder, 4):
        shown = visited(chromium, served(folder).url, 1440, 1000)
        drawn(shown.page)
        shown.page.get_by_text("end of the log").click()
        assert EVIL in shown.page.locator("#running pre").inner_text()
        assert "\\x1b[31mred" in shown.page.locator("#running pre").inner_text()
        assert EVIL in shown.page.locator("header").inner_text()
        assert shown.page.title() == "digits: live report"
        assert shown.page.locator("img").count() == 0


def test_an_open_log_stays_open_and_goes_on(chromium: Browser, tmp_path: Path, served: Serve) -> None:
    folder = write(tmp_path / "digits", TRIALS)
    write_open(folder, 4, running=True)
    log = trial_folder(folder, 4) / "trial.log"
    log.write_text("epoch one\n")
    with worked_on(folder, 4):
        shown = visited(chromium, served(folder).url, 1440, 1000)
        shown.page.get_by_text("end of the log").click()
        with log.open("a") as file:
            file.write("epoch two\n")
        shown.page.locator("#running pre", has_text="epoch two").wait_for(state="visible")
    assert shown.complaints == []


def test_a_server_that_ends_is_said(chromium: Browser, tmp_path: Path, served: Serve) -> None:
    server = served(write(tmp_path / "digits", TRIALS))
    page = visited(chromium, server.url, 1440, 1000).page
    drawn(page)
    page.route("**/*.json", lambda route: route.abort())
    page.locator("#live.lost", has_text="start the command again").wait_for()
    page.unroute("**/*.json")
    assert names(page) == ["0", "1", "2"]
