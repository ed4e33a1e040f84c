"""The report's table of networks in int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.report.build import content
from analysis.report.int8_table import TITLE, int8_table
from analysis.trials.read import read
from ofb_ray.results.int8 import INT8_FILE
from tests.analysis.factory import record, write, write_int8


def latency(ratio: float) -> dict[str, Any]:
    return {"rows": [], "ratios": [{"batch": 16, "time_ratio": 0.3, "float32_ratio": ratio}]}


def test_a_trial_in_int8_has_a_row_beside_float32(tmp_path: Path) -> None:
    write(tmp_path, [record(0), record(1, 0.3), record(2, 0.2)])
    kept = [{"name": f"blocks.{number}.mlp.fc2", "error": 0.2} for number in range(8)]
    write_int8(tmp_path / "00000", latency=latency(0.52))
    write_int8(tmp_path / "00001", float_layers=kept, fast=False, instructions=("avx2",), top1_test=None)
    found = int8_table(read([tmp_path]))
    assert found is not None
    head, rows = found
    assert [len(row) for row in rows] == [len(head)] * 2
    first, second = (dict(zip(head, row, strict=True)) for row in rows)
    assert first["difference (points)"] == "-0.10 ± 0.17"
    assert (first["float32 (MB)"], first["int8 (MB)"], first["time / float32, batch 16"]) == ("22.00", "5.80", "0.52")
    assert (first["layers in float32"], first["int8 of the CPU"]) == ("0 of 50", "fast: avx2, avx512_vnni")
    assert (second["difference (points)"], second["time / float32, batch 16"]) == ("", "")
    assert second["layers in float32"].startswith("8 of 50: blocks.0.mlp.fc2, ")
    assert second["layers in float32"].endswith(" and 2 others")
    assert second["int8 of the CPU"] == "not fast: avx2"
    (table,) = (each for each in content(read([tmp_path]), [tmp_path]).tables if each.title == TITLE)
    assert table.rows == rows


@pytest.mark.parametrize("text", ["{", "[]", '{"layers": 3}'])
def test_a_torn_or_foreign_file_makes_no_table(tmp_path: Path, text: str) -> None:
    write(tmp_path, [record(0)])
    (tmp_path / "00000" / INT8_FILE).write_text(text)
    assert int8_table(read([tmp_path])) is None
