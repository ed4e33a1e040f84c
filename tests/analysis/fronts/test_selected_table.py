"""The table of selected trials is escaped, aligned and short."""

from __future__ import annotations

from pathlib import Path

from analysis.fronts.selected_table import escape, human, latex, markdown, widths_summary
from analysis.trials.read import read
from tests.analysis.factory import record, widths, write


def test_latex_escapes_what_users_write(tmp_path: Path) -> None:
    results = read([write(tmp_path, [record(0)], question=r"Is 50% of a_b & \alpha{$x^2$} ~ #1?")])
    text = latex(results)
    assert r"Is 50\% of a\_b \& \textbackslash{}alpha\{\$x\textasciicircum{}2\$\} \textasciitilde{} \#1?" in text
    body = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert {line.count(" & ") for line in body} == {11}
    assert escape("a_b") == r"a\_b"


def test_markdown_has_equal_cells_in_every_line(tmp_path: Path) -> None:
    table = [line for line in markdown(read([write(tmp_path, [record(0)])])).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {13}
    assert "48 / 2.2 x 16 / 128" in table[-1]


def test_widths_and_numbers_are_written_short() -> None:
    assert widths_summary([widths(48)]) == "48 / 2.2 x 16 / 128"
    assert widths_summary([None]) == "-"
    assert [human(value) for value in (7, 999, 999.6, 1260, 99_960, 248_750, 999_600, 1.26e9)] == [
        "7",
        "999",
        "1.00 K",
        "1.26 K",
        "100 K",
        "249 K",
        "1.00 M",
        "1.26 G",
    ]
