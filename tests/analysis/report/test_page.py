"""The report as its reader meets it: in a browser, from a file, without a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from analysis.report.__main__ import main
from analysis.report.build import report
from analysis.report.facts import MOST_CLASSES, classes_of, cost_of
from analysis.trials.read import read
from tests.analysis.factory import failed, record, write, write_open
from tests.browser import opened, place_of, pointed_at

TRIALS = [record(0, 0.25, 96.0), record(1, 0.25, 96.5, macs=240_000), record(2, 0.5, 98.0), failed(3, 0.5)]
LIMIT = 5_000_000


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(tmp_path_factory.mktemp("report") / "digits", TRIALS)
    write_open(folder, 4, running=True)
    report([folder])
    return folder / "analysis" / "report.html"


@pytest.mark.parametrize(("width", "height"), [(1440, 1000), (390, 844)])
def test_it_opens_from_a_file_and_fits_the_window(chromium: Browser, page: Path, width: int, height: int) -> None:
    shown = opened(chromium, page, width, height)
    assert shown.complaints == []
    assert [url for url in shown.asked if not url.startswith("data:")] == [page.as_uri()]
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    box = shown.page.locator("#front .bk-Figure").bounding_box()
    assert box is not None
    assert box["width"] > 0.85 * min(width, 1180) - 32
    for image in shown.page.locator("img").all():
        assert image.evaluate("each => each.naturalWidth") > 0


@pytest.mark.usefixtures("no_pictures")
def test_the_names_of_means_over_seeds_fit_a_phone(chromium: Browser, tmp_path: Path) -> None:
    trials = [
        record(2 * n + seed, ratio, 96.0 + seed, seed=seed) for n, ratio in enumerate((0.25, 0.5)) for seed in (0, 1)
    ]
    report([write(tmp_path / "digits", trials)])
    shown = opened(chromium, tmp_path / "digits" / "analysis" / "report.html", 390, 844, touch=True)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_pointing_at_a_mark_shows_its_trial_and_a_click_its_commands(chromium: Browser, page: Path) -> None:
    shown = opened(chromium, page, 1440, 1000)
    text = pointed_at(shown.page, "2")
    assert "2 (finished, seed 0)" in text
    assert "98.00, 97.70" in text
    assert "48 / 2.2 x 16 / 128" in text
    assert re.search(r"ofb-ray trial --from \S+00002", text)
    shown.page.mouse.click(*place_of(shown.page, "2"))
    panel = shown.page.locator("#trial")
    panel.get_by_text("Trial 2").wait_for()
    assert re.search(r"ofb-ray trial --from \S+00002", panel.inner_text())
    assert "blocks.0: 3 x 16, 128" in panel.inner_text()
    assert shown.page.locator("tr.chosen td").first.inner_text() == "2"
    assert shown.complaints == []


def test_a_tap_on_a_phone_shows_the_trial(chromium: Browser, page: Path) -> None:
    shown = opened(chromium, page, 390, 844, touch=True)
    shown.page.touchscreen.tap(*place_of(shown.page, "1"))
    shown.page.locator("#trial").get_by_text("Trial 1").wait_for()
    assert shown.complaints == []


def test_the_table_of_trials_sorts_and_filters(chromium: Browser, page: Path) -> None:
    shown = opened(chromium, page, 1440, 1000).page
    names = shown.locator("#all tbody tr:not([hidden]) td:first-child")
    shown.get_by_role("button", name="top-1 val").click()
    assert names.all_inner_texts()[0] == "2"
    shown.locator("#filter").fill("failed")
    assert names.all_inner_texts() == ["3"]
    shown.locator("#all tbody tr:not([hidden])").first.click()
    assert "the loss became NaN in epoch 3" in shown.locator("#trial").inner_text()


def test_the_page_of_a_running_sweep_says_that_it_is_not_finished(chromium: Browser, page: Path) -> None:
    assert "not finished" in opened(chromium, page, 1440, 1000).page.inner_text("body")


@pytest.mark.parametrize("state", ["empty", "failures", "merged"])
def test_every_state_of_a_sweep_has_a_page_without_complaints(chromium: Browser, tmp_path: Path, state: str) -> None:
    trials = {"empty": [], "failures": [failed(0), failed(1, dense=None)]}.get(state, TRIALS)
    folders = [write(tmp_path / "a", trials, name="a")]
    if state == "merged":
        folders.append(write(tmp_path / "b", [record(0, 0.75, 98.2)], name="b"))
    report(folders, tmp_path / "out")
    shown = opened(chromium, tmp_path / "out" / "report.html", 1440, 1000)
    assert shown.complaints == []
    text = shown.page.inner_text("body")
    expected = {"empty": "0 trials", "failures": "2 failed", "merged": "b/0"}[state]
    assert expected in text


def test_what_the_results_hold_cannot_run_in_the_page(chromium: Browser, tmp_path: Path) -> None:
    evil = "</script><script>window.bad = 1</script><img src=x onerror='window.bad = 2'>"
    trials = [record(0, 0.5, params_explored={evil: evil}, class_names=[evil, "b"]), failed(1, 0.5, evil)]
    report([write(tmp_path / "r", trials, question=evil)])
    shown = opened(chromium, tmp_path / "r" / "analysis" / "report.html", 1440, 1000)
    assert evil in pointed_at(shown.page, "0")
    assert shown.page.evaluate("window.bad") is None
    assert evil in shown.page.inner_text("body")


def test_a_page_that_is_written_asks_no_server(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "showTrials" in text
    assert not [word for word in ("live.json", 'id="live"', 'id="running"') if word in text]


def test_the_classes_are_named_once_and_not_all_of_a_thousand(chromium: Browser, tmp_path: Path) -> None:
    names = ["cat", "a\x1b[2Jb\nc", *(f"class {number}" for number in range(998))]
    known = [record(number, class_names=names) for number in (0, 1)]
    found = classes_of(read([write(tmp_path / "r", [*known, record(2)])]))
    assert found == [("1000 classes", ", ".join(["cat", "a\\x1b[2Jb c", *names[2:MOST_CLASSES], "..."]))]
    report([tmp_path / "r"])
    shown = opened(chromium, tmp_path / "r" / "analysis" / "report.html", 1440, 1000)
    assert "a\\x1b[2Jb c, class 0" in (shown.page.locator("body").text_content() or "")
    assert shown.complaints == []


def test_what_trials_share_costs_once(tmp_path: Path) -> None:
    own = record(0, seconds={"dense": 50.0, "search": 100.0, "finetune": 10.0})
    promoted = record(1, seconds={"dense": 50.0, "search": 100.0, "finetune": 200.0})
    other = record(2, seconds={"dense": 50.0, "search": 90.0, "finetune": 10.0})
    found = read([write(tmp_path / "r", [own, promoted, other])])
    assert cost_of(found) == [("dense", "50 s"), ("search", "190 s"), ("finetune", "220 s")]


@pytest.mark.slow
def test_two_thousand_trials_stay_below_five_megabytes(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", [])
    for number in range(2000):
        trial = record(number, 0.1 + 0.05 * (number % 16), 90 + number % 97 / 10)
        (folder / f"{number:05d}").mkdir()
        (folder / f"{number:05d}" / "record.json").write_text(trial.model_dump_json())
    report([folder])
    assert (tmp_path / "r" / "analysis" / "report.html").stat().st_size < LIMIT


def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    folder = write(tmp_path / "r", [])
    (folder / "analysis").write_text("a file")
    assert main([str(folder)]) == 2
    assert "--out" in capsys.readouterr().err
    assert (folder / "analysis").read_text() == "a file"
