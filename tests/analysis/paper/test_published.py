"""Every published number has a source, a known start and a possible value; OFB's own rows are complete."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files

import pytest

from analysis.names import STARTS
from analysis.paper.published import TABLES, Published, Table, faults, published

ROW = Published("A", "DeiT-S", "plain", 75.0, 92.0, 5e6, 1e9, None, "t", "owner/repository@1:README.md", True)
OFB = {
    "ofb_main_deit": {"A": (75.0, 0.9), "B": (76.1, 1.1), "C": (78.0, 1.7), "D": (80.3, 3.6), "E": (81.7, 8.7)},
    "ofb_main_swin": {"A": (76.5, 1.0), "B": (79.9, 2.6), "C": (80.5, 3.1)},
}


@pytest.mark.parametrize("table", TABLES)
def test_every_shipped_row_has_a_source_and_possible_values(table: Table) -> None:
    assert published(table)
    assert faults(published(table)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"source": ""}, "A (t) has no source"),
        ({"source": "  "}, "A (t) has no source"),
        ({"start": "fair"}, "A (t) has the unknown start 'fair'"),
        ({"top1": 0.75}, None),
        ({"top1": 175.0, "top5": None}, "A (t) has an accuracy outside 0 to 100"),
        ({"top5": 70.0}, "A (t) has a top-5 below its top-1"),
        ({"macs": 0.0}, "A (t) has a cost that is not positive"),
    ],
)
def test_a_fault_is_reported(change: dict[str, object], fault: str | None) -> None:
    assert faults([ROW, replace(ROW, **change)]) == ([fault] if fault else [])  # type: ignore[arg-type]


@pytest.mark.parametrize("table", OFB)
def test_ofbs_own_rows_are_complete(table: str) -> None:
    rows = {row.method[-1]: row for row in published() if row.table == table}
    assert {key: (row.top1, round((row.macs or 0) / 1e9, 3)) for key, row in rows.items()} == OFB[table]
    assert all(row.own and row.top5 and row.params for row in rows.values())


def test_ofbs_search_cost_is_one_gpu_day() -> None:
    assert [row.search_gpu_days for row in published("search_cost") if row.method == "OFB"] == [1.0]


def test_units_are_plain_counts() -> None:
    (row,) = [row for row in published() if row.method == "DeiT-S (timm eval)"]
    assert row.params == pytest.approx(22.05e6)
    assert row.macs == pytest.approx(4.61e9)


def test_every_class_has_rows_and_classes_keep_apart_what_does_not_compare() -> None:
    rows = published()
    assert {row.start for row in rows} == set(STARTS)
    assert {row.start for row in rows if row.table == "nvit"} == {"teacher"}
    assert {row.start for row in rows if row.table == "token_pruning"} == {"tokens"}
    assert {row.start for row in rows if row.table == "ofb_main_deit"} == {"plain"}
    assert {row.start for row in rows if "22k" in row.method} == {"extra-data"}


def test_the_page_beside_the_files_counts_their_rows() -> None:
    text = (files("analysis") / "reference" / "README.md").read_text(encoding="utf-8")
    counted = {name: int(rows) for name, rows in re.findall(r"`(\w+)\.csv` \((\d+)", text)}
    assert counted == {table: len(published(table)) for table in TABLES}
    assert all(f"| `{start}` |" in text for start in STARTS)


@pytest.mark.parametrize("table", TABLES)
def test_a_reader_can_follow_every_source(table: Table) -> None:
    """A repository with a file, or a paper by arXiv number or venue and year; never a number in somebody's index."""
    for row in published(table):
        assert re.match(r"[\w-]+/[\w.-]+(@\w+)?: ?\S|arXiv \d{4}\.\d{5} |\w+ \(\w+ \d{4}", row.source), row.source
        assert not re.search(r"note id|index id|\d{9,}", row.source), row.source
