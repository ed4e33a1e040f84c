"""Axes chosen by pattern: what is kept stays whole, minima hold, unknown patterns are told, specs keep their hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import Backbone
from ofb_ray.backbones.patterns import at_least
from ofb_ray.config import SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.method.axis import Axis, Width
from ofb_ray.method.cost import cost, smallest, units_of
from ofb_ray.trial import run_trial
from tests.nets import NETS, SPACE, network
from tests.small import small_spec


def described(kind: str, **patterns: Any) -> Backbone:
    space = {**SPACE.model_dump(), **patterns}
    return describe_backbone(network(kind), SpaceSpec.model_validate(space))


def shrinkable(backbone: Backbone) -> set[str]:
    return {axis.name for axis in backbone.axes if len(axis.candidates) > 1}


@pytest.mark.parametrize("kind", NETS)
def test_only_the_attention_shrinks_in_every_family(kind: str) -> None:
    whole, chosen = described(kind), described(kind, only=["*attn*"])
    assert shrinkable(chosen) == {name for name in shrinkable(whole) if "attn" in name}
    assert chosen.widths == whole.widths


def test_what_is_kept_stays_whole_even_where_only_names_it() -> None:
    chosen = described("plain", only=["blocks.*"], keep=["blocks.0.*"])
    assert shrinkable(chosen) == {"blocks.1.attn", "blocks.1.mlp"}
    assert [chosen.axis(name).size for name in ("embed", "blocks.0.attn")] == [Width(1, 32), Width(4, 8)]


def test_the_smallest_network_costs_more_where_layers_are_kept() -> None:
    costs = [
        cost(each.macs, units_of(smallest(each.axes)))
        for each in (described("swin"), described("swin", keep=["layers.0.*"]), described("swin", keep=["*"]))
    ]
    assert costs == sorted(set(costs))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.51, 0.9, 1.0])
def test_no_candidate_lies_below_its_minimum_and_the_whole_axis_stays(share: float) -> None:
    chosen = described("plain", minima={"blocks.*": share})
    for axis in chosen.axes[1:]:
        assert min(size.units for size in axis.candidates) >= share * axis.size.units
        assert axis.size == axis.full
    assert chosen.axes[0] == described("plain").axes[0]


def test_the_largest_of_several_minima_counts() -> None:
    chosen = described("plain", minima={"*": 0.3, "blocks.0.mlp": 0.75, "blocks.0.*": 0.5})
    least = {axis.name: min(size.units for size in axis.candidates) / axis.size.units for axis in chosen.axes}
    assert least["blocks.0.mlp"] == 0.75
    assert 0.5 <= least["blocks.0.attn"] < 0.75
    assert 0.3 <= least["blocks.1.mlp"] < 0.5


def test_a_minimum_of_an_attention_axis_leaves_the_most_candidates() -> None:
    axis = Axis("blocks.0.attn", "attention", (2, 4, 6), (16, 24, 32, 40, 48, 56, 64), Width(6, 64))
    chosen = at_least(axis, 0.5)
    assert (chosen.head_choices, chosen.width_choices) == ((4, 6), (48, 56, 64))


@pytest.mark.parametrize(
    ("patterns", "key", "nearest"),
    [
        ({"only": ["block.*.attn"]}, "search.space.only", "blocks.0.attn"),
        ({"keep": ["blocks.7.mlp"]}, "search.space.keep", "blocks.1.mlp"),
        ({"minima": {"embedding": 0.5}}, "search.space.minima", "embed"),
    ],
)
def test_a_pattern_without_an_axis_names_the_nearest(patterns: dict[str, Any], key: str, nearest: str) -> None:
    with pytest.raises(InputError) as caught:
        described("plain", **patterns)
    assert caught.value.key == key
    assert nearest in caught.value.message.partition("nearest are ")[2].split(", ")


@pytest.mark.parametrize("fields", [{"only": []}, {"minima": {"*": 0}}, {"minima": {"*": 1.5}}, {"keep": "embed"}])
def test_values_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SpaceSpec.model_validate(fields)


def test_options_that_are_not_used_leave_no_trace_in_a_spec() -> None:
    plain, null = small_spec(), small_spec(search={"space": {"only": None, "keep": None, "minima": None}})
    assert plain.key == null.key
    assert not {"only", "keep", "minima"} & plain.model_dump(mode="json")["search"]["space"].keys()
    assert small_spec(search={"space": {"keep": ["embed"]}}).key != plain.key


def test_a_trial_keeps_the_layers_it_was_asked_to_keep(tmp_path: Path) -> None:
    spec = small_spec(
        dense={"epochs": 1}, search={"epochs": 2, "space": {"keep": ["embed", "*.0.attn"]}}, finetune={"epochs": 1}
    )
    record = run_trial(spec, lambda _: None, tmp_path / "trial", shared=tmp_path)
    assert record.arch is not None
    widths = record.arch["widths"]
    assert widths["embed"] == {"heads": 1, "width": 32}
    assert widths["blocks.0.attn"] == {"heads": 4, "width": 8}
    assert widths["blocks.1.mlp"]["width"] < 128
    assert record.subnet is not None
    assert record.subnet.macs <= record.budget.target
