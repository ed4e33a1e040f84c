"""Families at their published size, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.config import ModelSpec, SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.method.cost import cost, units_of


@pytest.mark.parametrize(
    ("name", "gmacs"),
    [
        ("deit_tiny_patch16_224", 1.254),
        ("deit_small_patch16_224", 4.599),
        ("deit_base_patch16_224", 17.564),
        ("swin_tiny_patch4_window7_224", 4.491),
        ("swin_small_patch4_window7_224", 8.741),
        ("swin_base_patch4_window7_224", 15.431),
        ("tnt_s_patch16_224", 5.217),
    ],
)
def test_published_macs(name: str, gmacs: float) -> None:
    """Plain MACs at 224 px, equal to the operator count; published to one digit: Swin 4.5, 8.7, 15.4, TNT-S 5.2."""
    with torch.device("meta"):
        net = create(ModelSpec(name=name))
    backbone = describe_backbone(net, SpaceSpec())
    macs = cost(backbone.macs, units_of(backbone.widths))
    assert round(macs / 1e9, 3) == gmacs
    assert macs == operator_macs(net, (3, 224, 224))


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("vit_base_patch16_siglip_224", {"depth": 1}, "attention pooling"),
        ("swin_tiny_patch4_window7_224", {"img_size": 72}, "multiples of 32 pixels"),
        ("resnet18", {}, "no backbone family for ResNet"),
    ],
)
def test_unsupported_networks_are_refused(name: str, args: dict[str, Any], says: str) -> None:
    with torch.device("meta"):
        net = create(ModelSpec(name=name, args=args))
    with pytest.raises(InputError, match=says):
        describe_backbone(net, SpaceSpec())
