"""Any script is drawn or written around, and never warned of: the reader of a figure cannot mend its fonts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, fontManager
from PIL import Image

from analysis import pareto, search
from analysis.drawing import fonts
from analysis.drawing.fonts import BOX, drawable, families
from analysis.drawing.style import STYLE, figure_files
from analysis.report.build import report
from ofb_ray.results.files import trial_folder
from tests.analysis.factory import searched, write, write_trace, write_trial_file

SCRIPTS = {
    "Chinese": "视觉变换器可以多小?",
    "Japanese": "どこまで小さくできるか",
    "Korean": "얼마나 작게",
    "Arabic": "ما مدى صغره؟",
    "Hebrew": "כמה קטן",
    "Hindi": "कितना छोटा",
    "Thai": "เล็กแค่ไหน",
    "emoji": "how small \N{ROCKET}\N{WAVING HAND SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}?",
    "rare": "\U00012000 \ue000 \U0001fae8",
}


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_drawn_or_written_around(script: str) -> None:
    with rc_context(STYLE):
        figure = Figure()
        figure.text(0.1, 0.5, SCRIPTS[script])
        figure.text(0.1, 0.2, SCRIPTS[script], fontweight="bold")
        files = figure_files(figure, "any")
    assert sorted(files) == ["any.pdf", "any.png", "any.svg"]


def test_what_no_font_has_is_a_box_and_an_emoji_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_covered", lambda: frozenset(map(ord, "how ")))
    assert drawable("how 小さ\u0301") == f"how {BOX}{BOX}"
    assert drawable("how \N{ROCKET}\ufe0f") == "how [rocket]"
    assert drawable("plain ASCII (100 %)") == "plain ASCII (100 %)"


def test_fonts_of_other_scripts_stand_behind_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    families.cache_clear()
    names = ("WenQuanYi Zen Hei", "Noto Sans CJK JP", "Unifont")
    monkeypatch.setattr(fontManager, "ttflist", [*fontManager.ttflist, *(FontEntry(name=name) for name in names)])
    assert families() == ("sans-serif", "Noto Sans CJK JP", "Unifont")
    families.cache_clear()


@pytest.mark.parametrize("name", ["中文 مرحبا \N{ROCKET}", "café"])
def test_all_figures_of_such_a_sweep_are_drawn_without_a_warning(name: str, tmp_path: Path) -> None:
    for sweep in ("one", "two"):
        trials = [searched(number, ratio, 90.0 + number) for number, ratio in enumerate((0.25, 0.5, 0.5, 0.25))]
        folder = write(tmp_path / f"{name} {sweep}", trials, name=f"{name} {sweep}", question=name)
        for trial in trials:
            cell = {"search.mask": name if trial.trial % 2 else "both", "seed": 0}
            write_trial_file(folder, trial, cell=cell, label=f"{trial.budget.label}, search.mask={name}")
            write_trace(trial_folder(folder, trial.trial))
    folders = [str(path) for path in sorted(tmp_path.iterdir())]
    report(folders, tmp_path / "out")
    assert pareto.main([*folders, "--out", str(tmp_path / "out")]) == 0
    assert search.main([*folders, "--out", str(tmp_path / "out")]) == 0
    with Image.open(tmp_path / "out" / "front.png") as image:
        assert image.width > 1000
