"""The interactive front says the same as the printed one, for any pair of axes, on a desk and on a phone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from analysis.report.build import report
from tests.analysis.curves import SIX, curve
from tests.analysis.factory import failed, record, write
from tests.analysis.report.test_page import TRIALS
from tests.browser import opened, place_of

pytestmark = pytest.mark.usefixtures("no_pictures")
PLOT = "const plot = Bokeh.index.query_one(v => v.model.type == 'Figure').model;"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The report of a few trials."""
    return reported(tmp_path / "few", TRIALS)


def reported(folder: Path, trials: list[Any]) -> Path:
    """The page of these trials."""
    report([write(folder, trials)])
    return folder / "analysis" / "report.html"


def source(page: Page, name: str) -> Any:
    """What the lines of this name show."""
    code = f"name => {{ {PLOT} return plot.renderers.find(r => r.name == name).data_source.data; }}"
    return page.evaluate(code, name)


def above(page: Page) -> Any:
    """For each axis above the figure whether it is seen, what it says, its marks and their labels."""
    return page.evaluate(
        f"() => {{ {PLOT} return plot.above.filter(a => a.type == 'LinearAxis').map(a => [a.visible, a.axis_label,"
        "a.ticker.ticks, a.formatter.doFormat(a.ticker.ticks, {loc: 0})]); }"
    )


def test_budgets_are_marks_above_the_axis_that_they_limit(chromium: Browser, tmp_path: Path) -> None:
    file = reported(tmp_path / "r", [*curve(1, (0,), SIX[:3]), failed(9, 0.2)])
    shown = opened(chromium, file, 1440, 1000)
    targets, labels = [200_000, 450_000, 600_000, 750_000], ["× 0.2", "0.45", "0.6", "0.75"]
    assert above(shown.page) == [[True, "budget (share of the MACs); ×: no network", targets, labels]]
    shown.page.locator("select").nth(0).select_option(label="parameters")
    shown.page.wait_for_function("Bokeh.documents[0].is_idle")
    assert above(shown.page)[0][0] is False
    assert shown.complaints == []


@pytest.mark.parametrize("width", [1440, 390])
def test_one_line_joins_the_selected_networks(chromium: Browser, tmp_path: Path, width: int) -> None:
    trials = curve(3)
    shown = opened(chromium, reported(tmp_path / "r", trials), width, 1000)
    line = source(shown.page, "curves")
    best = [max(t.subnet.top1_val or 0.0 for t in trials if t.subnet and t.budget.label == f"{r:g}") for r in SIX]
    assert line["ys"] == [best[::-1]]
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.complaints == []


def test_what_images_cannot_tell_apart_is_shaded_unless_seeds_measure_it(chromium: Browser, tmp_path: Path) -> None:
    def names(file: Path) -> Any:
        page = opened(chromium, file, 1440, 1000).page
        return page.evaluate(f"() => {{ {PLOT} return plot.below[1].items.map(i => i.label.value || i.label); }}")

    assert "no measurable difference" in names(reported(tmp_path / "one", curve(1)))
    assert "no measurable difference" not in names(reported(tmp_path / "seeds", curve(1, (0, 1, 2))))


def test_what_was_found_stands_above_the_picture(chromium: Browser, tmp_path: Path) -> None:
    shown = opened(chromium, reported(tmp_path / "r", curve(1, (0, 1, 2))), 1440, 1000)
    said = shown.page.locator(".found")
    assert said.locator("strong").inner_text().startswith("With 45 % of the MACs ")
    assert "With 12 % of the MACs it loses" in said.inner_text()
    box, plot = said.bounding_box(), shown.page.locator("#front .bk-Figure").bounding_box()
    assert box is not None
    assert plot is not None
    assert box["y"] + box["height"] < plot["y"]


def test_another_axis_moves_the_marks_and_the_line(chromium: Browser, page: Path) -> None:
    shown = opened(chromium, page, 1440, 1000)
    before = place_of(shown.page, "1")
    shown.page.locator("select").nth(0).select_option(label="parameters")
    shown.page.locator("select").nth(1).select_option(label="test top-1 (%)")
    shown.page.wait_for_function("Bokeh.documents[0].is_idle")
    assert place_of(shown.page, "1") != before
    labels = shown.page.evaluate(
        "() => { const plot = Bokeh.index.query_one(v => v.model.type == 'Figure').model;"
        "return [plot.below[0].axis_label, plot.left[0].axis_label]; }"
    )
    assert labels[0] == "parameters"
    assert "takes no part in the selection" in labels[1]
    assert source(shown.page, "curves")["xs"] == [[51250, 102500]]  # the selected ones of each budget
    assert shown.complaints == []


@pytest.mark.usefixtures("no_pictures")
def test_several_seeds_are_a_mean_with_its_interval(chromium: Browser, tmp_path: Path) -> None:
    trials = [record(seed, 0.5, top1, seed=seed) for seed, top1 in enumerate((96.0, 97.0, 98.0))]
    report([write(tmp_path / "r", trials)])
    shown = opened(chromium, tmp_path / "r" / "analysis" / "report.html", 1440, 1000)
    means = shown.page.evaluate(
        "() => Bokeh.index.query_one(v => v.model.type == 'Figure').model.renderers"
        ".map(each => each.data_source.data).find(data => data.low)"
    )
    # Standard deviation 1, three seeds: half the interval is t(0.975, 2) / sqrt(3) = 4.3027 / 1.7321.
    assert means["text"] == ["97.00 ± 2.48"]
    assert means["n"] == ["3"]
    assert means["low"][0] == pytest.approx(97 - 2.484, abs=1e-3)
    assert shown.complaints == []


@pytest.mark.usefixtures("no_pictures")
def test_a_preview_is_a_line_that_follows_the_axes(chromium: Browser, tmp_path: Path) -> None:
    folder = write(tmp_path / "digits", TRIALS)
    write(folder / "preview", [record(0, 0.5, 97.5), record(1, 0.3, 96.2), record(2, 0.2, 20.0)])
    report([folder])
    shown = opened(chromium, folder / "analysis" / "report.html", 1440, 1000)
    assert source(shown.page, "preview") == {"xs": [[298500, 497500]], "ys": [[96.2, 97.5]]}
    shown.page.locator("select").nth(0).select_option(label="parameters")
    shown.page.wait_for_function("Bokeh.documents[0].is_idle")
    assert source(shown.page, "preview") == {"xs": [[61500, 102500]], "ys": [[96.2, 97.5]]}
    assert shown.complaints == []


def timed(folder: Path, times: dict[int, float]) -> Path:
    """Give trials a latency of these milliseconds."""
    for number, ms in times.items():
        rows = [
            {"network": network, "backend": backend, "batch": 1, "median_ms": value}
            for network, value in (("dense", 10.0), ("subnet", ms))
            for backend in ("torch", "onnxruntime")
        ]
        (folder / f"{number:05d}" / "latency.json").write_text(json.dumps({"rows": rows}))
    return folder


def test_a_network_on_the_front_of_another_cost_is_marked(chromium: Browser, tmp_path: Path) -> None:
    """In MACs 0, 1 and 2 are the front; by the clock 1 is slower and worse than 0."""
    trials = [record(0, 0.5, 97.0), record(1, 0.3, 96.0), record(2, 0.2, 95.0)]
    folder = timed(write(tmp_path / "r", trials), {0: 4.0, 1: 5.0, 2: 3.0})
    report([folder])
    shown = opened(chromium, folder / "analysis" / "report.html", 1440, 1000)
    assert source(shown.page, "elsewhere")["x"] == []
    across = shown.page.locator("select").nth(0)
    labels = across.locator("option").all_text_contents()
    assert [label for label in labels if label.startswith("latency")] == [
        "latency (ms, onnxruntime, batch 1, )",
        "latency (ms, torch, batch 1, )",
    ]
    across.select_option(label="latency (ms, torch, batch 1, )")
    shown.page.wait_for_function("Bokeh.documents[0].is_idle")
    found = source(shown.page, "elsewhere")
    assert (found["x"], found["y"]) == ([5.0], [96.0])
    assert "MACs" in found["costs"][0]
    assert shown.complaints == []


def test_what_a_search_took_marks_no_network(chromium: Browser, tmp_path: Path) -> None:
    """The second trial of a budget is worse and was sooner done: that is no reason to choose it."""
    quick = {"dense": 8.0, "search": 1.0, "finetune": 1.0}
    file = reported(tmp_path / "r", [record(0, 0.5, 97.0), record(1, 0.5, 96.0, seconds=quick)])
    shown = opened(chromium, file, 1440, 1000)
    assert shown.page.evaluate(f"() => {{ {PLOT} return plot.renderers.every(r => r.name != 'elsewhere'); }}")
