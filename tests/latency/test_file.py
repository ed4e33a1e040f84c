"""A file of tables: written and read again, written by hand and interpolated, refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ofb_ray.backbones import describe_backbone
from ofb_ray.errors import InputError
from ofb_ray.latency.design import checks, probes
from ofb_ray.latency.file import read_table, tables_of, write_table
from ofb_ray.latency.fit import fit
from ofb_ray.method.cost import cost, units_of
from tests.latency.test_fit import VIT, device
from tests.nets import SPACE, network

NAME = "vit_tiny_patch16_224"


def written(tmp_path: Path, *tables: dict[str, Any], **facts: Any) -> Path:
    (tmp_path / "t.json").write_text(json.dumps({**facts, "tables": tables}))
    return tmp_path / "t.json"


@pytest.mark.parametrize("kind", ["plain", "swin"])
def test_what_was_written_is_read(tmp_path: Path, kind: str) -> None:
    backbone = describe_backbone(network(kind), SPACE)
    learned = [backbone.widths, *probes(backbone, 40)]
    tables = fit(backbone, learned, [device(backbone, one, 16) for one in learned])
    write_table(tmp_path / "t.json", {"model": NAME, "batch": 4}, tables)
    found = read_table(tmp_path / "t.json")
    assert found.batch == 4
    again = tables_of(found, backbone, f"{NAME}.augreg", "t.json")
    for widths in checks(backbone, 10):
        assert cost(again, units_of(widths)) == cost(tables, units_of(widths))


def test_a_table_by_hand_is_interpolated(tmp_path: Path) -> None:
    """Heads cost 1000 ns, the MLP (embedding x units) / 10 ns, by its corners alone."""
    attention = {"axes": ["blocks.*.attn"], "sizes": [[[2, 16], [2, 64], [3, 16], [3, 64]]], "ns": [2e3, 2e3, 3e3, 3e3]}
    corners = [[[1, 96], [1, 192]], [[1, 192], [1, 768]]]
    products = [[9.6 * 192, 9.6 * 768], [19.2 * 192, 19.2 * 768]]
    mlp = {"axes": ["embed", "blocks.*.mlp"], "sizes": corners, "ns": products}
    found = tables_of(read_table(written(tmp_path, {"axes": [], "ns": 500}, attention, mlp)), VIT, NAME, "t.json")
    for widths in checks(VIT, 10):
        exact = 500 + sum(
            1000 * size.heads if name.endswith("attn") else widths["embed"].units * size.units / 10
            for name, size in widths.items()
            if name != "embed"
        )
        assert cost(found, units_of(widths)) == pytest.approx(exact, abs=24)  # each table is rounded


@pytest.mark.parametrize(
    ("table", "facts", "says"),
    [
        ({"axes": [], "ns": 1}, {"model": "deit_small_patch16_224"}, "is the table of deit_small_patch16_224, not of"),
        ({"axes": ["blok.*"], "sizes": [[[1, 1]]], "ns": [1]}, {}, "no axis is called blok.*; there are embed"),
        ({"axes": ["embed"], "sizes": [[[1, 96]]], "ns": [1]}, {}, "does not reach embed at 1 x 102"),
        ({"axes": ["embed"], "sizes": [[[1, 96]]], "ns": [1, 2]}, {}, r"tables.0.ns: its sizes make it 1, and ns is"),
        ({"axes": ["embed"], "sizes": [[[1, 96]]], "ns": "x"}, {}, "ns are no numbers in rows"),
        ({"axes": ["embed"], "sizes": [[[1, 96], [1, 192]]], "ns": [-1, 2]}, {}, "a time lies between 0 and"),
        ({"axes": ["embed", "embed", "embed"], "ns": 1}, {}, "at most 2"),
        ({"axes": [], "ns": 1}, {"format": 2}, "format: Input should be less than or equal to 1"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, table: dict[str, Any], facts: dict[str, Any], says: str) -> None:
    path = written(tmp_path, table, **facts)
    with pytest.raises(InputError, match=says) as caught:
        tables_of(read_table(path), VIT, NAME, str(path))
    assert "\n" not in str(caught.value)
    assert "t.json" in str(caught.value)


def test_a_table_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ofb-ray latency SWEEP --table"):
        read_table(tmp_path / "none.json")
