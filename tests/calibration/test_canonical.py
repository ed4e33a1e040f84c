"""The canonical basis changes the basis and nothing else."""

from __future__ import annotations

import pytest
import torch

from ofb_ray.backbones import describe_backbone
from ofb_ray.calibration.canonical import canonical
from tests.nets import NETS, SPACE, images, network

kinds = pytest.mark.parametrize("kind", NETS)


@kinds
def test_outputs_classes_names_and_shapes_are_equal(kind: str) -> None:
    net = network(kind).double()
    new = canonical(net, describe_backbone(net, SPACE), [images(16).double()])
    assert [type(m) for m in new.modules()] == [type(m) for m in net.modules()]
    assert {n: p.shape for n, p in new.named_parameters()} == {n: p.shape for n, p in net.named_parameters()}
    torch.testing.assert_close(new(images().double()), net(images().double()), rtol=1e-9, atol=1e-9)


@kinds
def test_outputs_are_equal_in_single_precision(kind: str) -> None:
    net = network(kind)
    new = canonical(net, describe_backbone(net, SPACE), [images(16)])
    torch.testing.assert_close(new(images()), net(images()), rtol=1e-4, atol=1e-4)


@kinds
def test_a_second_call_changes_nothing(kind: str) -> None:
    net = network(kind).double()
    once = canonical(net, describe_backbone(net, SPACE), [images(16).double()])
    twice = canonical(once, describe_backbone(once, SPACE), [images(16).double()])
    for name, param in twice.named_parameters():
        torch.testing.assert_close(param, once.get_parameter(name), rtol=1e-6, atol=1e-6, msg=name)
