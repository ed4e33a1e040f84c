"""Local weights: loaded as tensors only, into other sizes and tasks, refused with one line where they do not fit."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ofb_ray.backbones import create, weights
from ofb_ray.config import DataSpec, ModelSpec
from ofb_ray.errors import InputError

SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 4, "img_size": 32, "patch_size": 8, "num_classes": 7}
SWIN = {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4, "patch_size": 4, "img_size": 64}
TRAINED = Path(__file__).parent.parent.parent / "shared" / "data" / "vit_tiny_patch16_224.safetensors"


def source(path: Path, wrapped: bool = False, **changes: Any) -> dict[str, torch.Tensor]:
    """The tensors of a network that were written to `path`."""
    torch.manual_seed(1)
    net = create(ModelSpec(args={**SMALL, **changes}))
    with torch.no_grad():
        for param in net.parameters():
            param.copy_(torch.randn_like(param))
    state = net.state_dict()
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"model": state} if wrapped else state, path)
    return state


def loaded(path: Path, name: str = "vit_tiny_patch16_224", **args: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return weights.network(ModelSpec(name=name, args={**SMALL, **args}, weights=str(path))).state_dict()


@pytest.mark.parametrize(("file", "wrapped"), [("w.safetensors", False), ("w.pth", False), ("w.pth", True)])
def test_the_same_network_gets_every_tensor(file: str, wrapped: bool, tmp_path: Path) -> None:
    state = source(tmp_path / file, wrapped)
    found = loaded(tmp_path / file)
    for name, value in state.items():
        assert torch.equal(found[name], value), name


def test_another_number_of_classes_leaves_only_the_classifier_fresh(tmp_path: Path) -> None:
    state = source(tmp_path / "w.pth")
    found = loaded(tmp_path / "w.pth", num_classes=3)
    assert found["head.weight"].shape == (3, 32)
    assert all(torch.equal(found[name], value) for name, value in state.items() if not name.startswith("head"))


def test_equal_classes_keep_a_classifier_that_is_not_imagenets(tmp_path: Path) -> None:
    """timm's own loader would drop every classifier that has not a thousand classes."""
    state = source(tmp_path / "w.pth")
    assert torch.equal(loaded(tmp_path / "w.pth")["head.weight"], state["head.weight"])


@pytest.mark.parametrize(
    ("args", "tensor", "shape"),
    [
        ({"img_size": 64}, "pos_embed", (1, 65, 32)),
        ({"patch_size": 4}, "patch_embed.proj.weight", (32, 3, 4, 4)),
        ({"in_chans": 1}, "patch_embed.proj.weight", (32, 1, 8, 8)),
    ],
)
def test_position_patches_and_channels_are_resampled(
    args: dict[str, Any], tensor: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    state = source(tmp_path / "w.pth")
    found = loaded(tmp_path / "w.pth", **args)
    assert found[tensor].shape == shape
    assert torch.equal(found["blocks.1.mlp.fc1.weight"], state["blocks.1.mlp.fc1.weight"])
    if "in_chans" in args:
        torch.testing.assert_close(found[tensor], state[tensor].sum(dim=1, keepdim=True))
    elif "img_size" in args:
        torch.testing.assert_close(found[tensor].mean(), state[tensor].mean(), atol=0.05, rtol=0)
        assert torch.equal(found[tensor][:, 0], state[tensor][:, 0])


def test_swin_tables_are_resampled_to_another_window(tmp_path: Path) -> None:
    net = create(ModelSpec(name="swin_tiny_patch4_window7_224", args=SWIN))
    torch.save(net.state_dict(), tmp_path / "w.pth")
    model = ModelSpec(
        name="swin_tiny_patch4_window7_224", args={**SWIN, "window_size": 8}, weights=str(tmp_path / "w.pth")
    )
    table = weights.network(model).state_dict()["layers.0.blocks.0.attn.relative_position_bias_table"]
    assert table.shape == (225, 2)


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("was_run",)


def _code(path: Path) -> None:
    path.write_bytes(pickle.dumps({"head.weight": _Runs()}))


def _other(path: Path) -> None:
    source(path, depth=3)


def _narrow(path: Path) -> None:
    source(path, embed_dim=16)


def _text(path: Path) -> None:
    path.write_text("hello")


@pytest.mark.parametrize(
    ("file", "write", "told"),
    [
        ("w.pth", _code, "holds no tensors"),
        ("w.pth", _text, "holds no tensors"),
        ("w.safetensors", _text, "holds no tensors"),
        ("w.pth", _other, "does not fit the model: 12 other tensors, such as blocks.2"),
        ("w.pth", _narrow, "does not fit the model"),
        ("w.pth", lambda path: None, "no such file"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_and_no_code_runs(
    file: str, write: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / file)
    with pytest.raises(InputError, match=told) as error:
        loaded(tmp_path / file)
    assert error.value.key == "model.weights"
    assert "\n" not in str(error.value)
    assert not Path("was_run").exists()


def test_preprocessing_follows_the_weights_unless_the_spec_says_otherwise() -> None:
    trained = ModelSpec(name="deit_tiny_patch16_224.fb_in1k", pretrained=True)
    data = DataSpec(name="cifar10")
    assert weights.preprocessing(ModelSpec(), data) == data
    found = weights.preprocessing(trained, data)
    assert found.mean == (0.485, 0.456, 0.406)
    assert (found.crop, found.interpolation) == (0.9, "bicubic")
    own = DataSpec(name="cifar10", mean=(0.1, 0.2, 0.3), crop=1.0)
    kept = weights.preprocessing(trained, own)
    assert (kept.mean, kept.crop, kept.std) == ((0.1, 0.2, 0.3), 1.0, (0.229, 0.224, 0.225))


def test_a_network_with_other_channels_than_the_weights_keeps_the_data_sets_own_normalisation() -> None:
    grey = ModelSpec(name="vit_tiny_patch16_224.augreg_in21k_ft_in1k", weights="file", args={"in_chans": 1})
    assert weights.preprocessing(grey, DataSpec()) == DataSpec()


def test_a_name_without_pretrained_weights_is_told_before_anything_runs() -> None:
    with pytest.raises(InputError, match="no pretrained weights of 'vit_base_patch16_xp_224'") as error:
        weights.missing(ModelSpec(name="vit_base_patch16_xp_224", pretrained=True))
    assert error.value.key == "model.pretrained"


@pytest.mark.skipif(not TRAINED.exists(), reason="needs the trained ViT-Tiny in ../shared/data")
def test_the_trained_vit_tiny_loads_and_adapts() -> None:
    full = weights.network(ModelSpec(weights=str(TRAINED)))
    assert sum(param.numel() for param in full.parameters()) == 5_717_416
    model = ModelSpec(weights=str(TRAINED), args={"num_classes": 10, "img_size": 96})
    assert weights.network(model)(torch.zeros(1, 3, 96, 96)).shape == (1, 10)


@pytest.mark.parametrize("tag", ["aaugreg_in21k_ft_in1k", "nothing"])
@pytest.mark.parametrize("pretrained", [True, False])
def test_a_misspelt_tag_of_weights_is_told(tag: str, pretrained: bool) -> None:
    with pytest.raises(InputError, match=f"no weights '{tag}' of vit_tiny_patch16_224; did you mean 'vit_tiny"):
        create(ModelSpec(name=f"vit_tiny_patch16_224.{tag}", pretrained=pretrained))
