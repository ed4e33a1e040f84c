"""The table of selected trials is escaped, aligned and short."""

from __future__ import annotations

from pathlib import Path

from analysis.fronts.selected_table import TIME, escape, human, latex, markdown, rows, widths_summary
from analysis.trials.read import read
from ofb_ray.results.records import BudgetOutcome, LatencyOutcome
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


def test_budgets_of_latency_have_a_column_for_the_time(tmp_path: Path) -> None:
    limit = BudgetOutcome(label="latency 0.4", resource="latency_ns", target=14_249_000, used=0.998, minimum=1)
    timed = LatencyOutcome(target_ms=14.249, predicted_ms=14.2, dense_ms=35.6, ratio=0.396)
    plain = record(1)
    assert plain.subnet is not None
    by_time = record(0, budget=limit, latency=timed, subnet=plain.subnet.model_copy(update={"latency_ns": 14_220_000}))
    results = read([write(tmp_path, [by_time, plain])])
    head, dense, selected = rows(results)
    assert [cells[head.index(TIME)] for cells in (*dense, *selected)] == ["1.000", "0.396", "-"]
    assert selected[0][head.index("target")] == "14.2 ms"
    assert {line.count("|") for line in markdown(results).splitlines() if line.startswith("|")} == {14}
    assert r"\begin{tabular}{lrrrrrrrrrrlr}" in latex(results)
    assert TIME not in rows(read([write(tmp_path / "macs", [plain])]))[0]


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
