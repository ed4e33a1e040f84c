"""The table of a search space: every axis stands in it, shares add up, and its smallest network can be reached."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import timm
import torch

import ofb_ray
from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.config import SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.library.describe import candidates_text
from ofb_ray.method.axis import Axis, Width
from tests.library.nets import tiny
from tests.nets import NETS, SHAPE, network


@pytest.mark.parametrize("kind", NETS)
def test_every_axis_stands_in_one_group_and_shares_add_up(kind: str) -> None:
    net = network(kind)
    described = ofb_ray.describe(net)
    names = [name for group in described.groups for name in group.names]
    assert sorted(names) == sorted(axis.name for axis in describe_backbone(net, SpaceSpec()).axes)
    assert described.macs == operator_macs(net, SHAPE)
    assert sum(group.share for group in described.groups) == pytest.approx(1.0)
    assert all(described.least_macs / described.macs <= group.alone < 1 for group in described.groups)


def test_equal_axes_share_a_row_and_kept_ones_stand_apart() -> None:
    with torch.device("meta"):
        net = timm.create_model("vit_small_patch16_224")
    whole = ofb_ray.describe(net)
    assert [group.label for group in whole.groups] == ["embed", "blocks.0-11.attn", "blocks.0-11.mlp"]
    kept = ofb_ray.describe(net, space={"keep": ["blocks.0.*"]})
    assert [group.label for group in kept.groups] == [
        "embed",
        "blocks.0.attn",
        "blocks.0.mlp",
        "blocks.1-11.attn",
        "blocks.1-11.mlp",
    ]
    assert kept.least_macs > whole.least_macs
    text = str(whole)
    assert "6 x 64  2-6 by 2 heads x 16-64 by 8" in text
    assert f"{whole.least_macs:,} MACs" in text
    assert str(kept).count(" whole ") == 2
    assert kept._repr_markdown_().count("\n| ") == 5


def test_the_smallest_network_is_what_a_budget_can_reach() -> None:
    net = tiny(classes=10)
    described = ofb_ray.describe(net)
    with pytest.raises(InputError, match=f"subnet: {described.least_macs:,} MACs"):
        ofb_ray.compress(net, "digits", budget=(described.least_macs - 100) / described.macs, quiet=True)


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        (Axis("m", "mlp", (1,), (32, 48, 64), Width(1, 64)), "32-64 by 16"),
        (Axis("m", "mlp", (1,), (32, 64), Width(1, 64)), "32, 64"),
        (Axis("m", "mlp", (1,), (64,), Width(1, 64)), "whole"),
        (Axis("a", "attention", (2, 3), (8, 12, 16), Width(3, 16)), "2, 3 heads x 8-16 by 4"),
        (Axis("e", "embedding", (1,), (*range(10, 60, 7), 60), Width(1, 60)), "10-59 by 7, 60"),
    ],
)
def test_candidates_are_told_short(axis: Axis, text: str) -> None:
    assert candidates_text(axis) == text


@pytest.mark.parametrize(("space", "key"), [({"kep": []}, "search.space.kep"), ({"only": ["x"]}, "search.space.only")])
def test_a_space_that_does_not_fit_is_one_line(space: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError) as caught:
        ofb_ray.describe(tiny(), space=space)
    assert caught.value.key == key


def test_what_the_package_offers_is_listed_and_nothing_else_is_made_up() -> None:
    assert {"compress", "describe", "front", "load"} <= set(dir(ofb_ray))
    with pytest.raises(AttributeError, match="no attribute 'compres'"):
        _ = ofb_ray.compres
    code = (
        "import sys, ofb_ray; dir(ofb_ray); print('torch' in sys.modules); ofb_ray.load; print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "True"]
