"""Name and arguments are read off a network, so that timm builds it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from ofb_ray.backbones.weights import network as built
from ofb_ray.config import ModelSpec
from ofb_ray.errors import InputError
from ofb_ray.library.identify import check_rebuilt, identify, save_weights
from tests.library.nets import SMALL, tiny
from tests.nets import NETS, SHAPE, network


@pytest.mark.parametrize("kind", NETS)
def test_every_kind_of_network_is_built_again(kind: str, tmp_path: Path) -> None:
    net = network(kind)
    model = ModelSpec.model_validate({**identify(net), "weights": str(save_weights(net, tmp_path))})
    check_rebuilt(net, model, SHAPE)
    assert str(built(model)) == str(net)  # in train mode, too: dropout and drop-path have their rates


def test_what_is_as_timm_has_it_is_not_named() -> None:
    with torch.device("meta"):
        net = timm.create_model("deit3_small_patch16_224", num_classes=10)
    wanted = {"img_size": 224, "in_chans": 3, "num_classes": 10}
    assert identify(net) == {"name": "deit3_small_patch16_224", "args": wanted}


@pytest.mark.parametrize(
    "args",
    [
        {"drop_path_rate": 0.2, "drop_rate": 0.1},
        {"proj_drop_rate": 0.1, "attn_drop_rate": 0.2, "pos_drop_rate": 0.3},
        {"qkv_bias": False, "mlp_ratio": 3.0},
        {"class_token": False, "global_pool": "avg"},
    ],
)
def test_arguments_are_found_again(args: dict[str, Any]) -> None:
    found = identify(tiny(**args))["args"]
    assert {**{key: found[key] for key in args}, **found} == {"num_classes": 4, "in_chans": 1, **SMALL, **args}


def test_a_tag_that_prepares_images_otherwise_is_kept() -> None:
    with torch.device("meta"):
        usual, other = timm.create_model("vit_base_patch16_224"), timm.create_model("vit_base_patch16_224.orig_in21k")
        inception = timm.create_model("deit_base_patch16_224")
        clip = timm.create_model("vit_base_patch16_224.dino")
    assert identify(usual)["name"] == "vit_base_patch16_224"
    assert identify(other)["name"] == "vit_base_patch16_224"
    assert identify(inception)["name"] == "deit_base_patch16_224"
    assert identify(clip)["name"] == "vit_base_patch16_224.dino"


def test_a_network_without_a_name_asks_for_one_and_takes_it(tmp_path: Path) -> None:
    net = VisionTransformer(num_classes=4, in_chans=1, **{**SMALL, "num_heads": 2})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not name its timm model: pass model="):
        identify(net)
    stated = {"name": "vit_tiny_patch16_224", "args": {**SMALL, "num_heads": 2}}
    assert identify(net, stated)["args"] == {**SMALL, "num_heads": 2, "num_classes": 4, "in_chans": 1}
    read = identify(net, {"name": "vit_tiny_patch16_224"})
    check_rebuilt(net, ModelSpec.model_validate({**read, "weights": str(save_weights(net, tmp_path))}), (1, 8, 8))


def test_a_network_of_equal_tensors_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    net = tiny(num_heads=2)
    model = {"name": "vit_tiny_patch16_224", "args": {**SMALL, "in_chans": 1, "num_classes": 4}}
    spec = ModelSpec.model_validate({**model, "weights": str(save_weights(net, tmp_path))})
    with pytest.raises(InputError, match="outputs differ"):
        check_rebuilt(net, spec, (1, 8, 8))
