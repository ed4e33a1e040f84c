"""What cannot run is refused by its plan, before a folder is made or anything is trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from ofb_ray.backbones import create
from ofb_ray.config import TrialSpec
from ofb_ray.errors import InputError
from ofb_ray.trial.plan import plan, resolve_model
from tests.small import MODEL, small_spec

TNT_ARGS = {"patch_size": 4, "embed_dim": 32, "inner_dim": 8, "depth": 2, "num_heads_inner": 2, "num_heads_outer": 4}
VIT_ARGS = {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 4}


@pytest.mark.parametrize("content", [[1, 2], 3, {"head.weight": torch.zeros(2)}, "text"])
def test_local_weights_that_do_not_fit(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError) as error:
        plan(small_spec(model={**MODEL, "weights": str(tmp_path / "w.pth")}))
    assert error.value.key == "model.weights"
    assert "\n" not in str(error.value)


def test_local_weights_that_were_mended_are_read_again(tmp_path: Path) -> None:
    spec = small_spec(model={**MODEL, "weights": str(tmp_path / "w.pth")})
    torch.save(3, tmp_path / "w.pth")
    with pytest.raises(InputError):
        plan(spec)
    torch.save(create(resolve_model(small_spec())).state_dict(), tmp_path / "w.pth")
    assert plan(spec).target > 0


@pytest.mark.parametrize(("name", "args"), [("vit_tiny_patch16_224", VIT_ARGS), ("tnt_s_patch16_224", TNT_ARGS)])
def test_an_image_side_that_patches_do_not_divide(name: str, args: dict[str, Any]) -> None:
    """timm would drop the pixels at the border, and masked image modelling has no target for them."""

    def spec(side: int) -> TrialSpec:
        return small_spec(model={"name": name, "args": args}, data={"name": "digits", "image_size": side})

    assert plan(spec(12)).target > 0
    with pytest.raises(InputError, match="10 is no multiple of the 4 pixels of a patch: take 8 or 12") as error:
        plan(spec(10))
    assert error.value.key == "data.image_size"


def test_a_dry_run_lists_a_missing_file_beside_a_teacher_that_is_there(tmp_path: Path) -> None:
    distill = {"teacher": "resnet18", "pretrained": False}
    spec = small_spec(model={**MODEL, "weights": "nowhere.pth"}, finetune={"distill": distill})
    assert plan(spec, dry=True).missing == ("weights: no such file: nowhere.pth",)


def test_a_dry_run_fetches_nothing(tmp_path: Path) -> None:
    root = tmp_path / "sets"
    data = {"name": "cifar10", "root": str(root), "download": True, "image_size": 32, "train_limit": None}
    planned = plan(small_spec(model={"name": MODEL["name"], "args": VIT_ARGS}, data=data), dry=True)
    assert planned.train_images == 50_000
    assert planned.missing == (f"data: cifar10 is not in {root}; it is fetched at first use",)
    assert not root.exists()


@pytest.mark.parametrize(("classes", "epochs", "warned"), [(10, 0, False), (7, 0, True), (7, 1, False)])
def test_a_search_from_a_random_classifier_is_warned_of(
    classes: int, epochs: int, warned: bool, tmp_path: Path
) -> None:
    trained = resolve_model(small_spec())
    net = create(trained.model_copy(update={"args": {**trained.args, "num_classes": classes}}))
    torch.save(net.state_dict(), tmp_path / "w.pth")
    spec = small_spec(model={**MODEL, "weights": str(tmp_path / "w.pth")}, dense={"epochs": epochs})
    assert ("starts at random" in plan(spec).warning) == warned


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
@pytest.mark.parametrize("ratio", [0.1, 0.05, 0.02, 0.003])
def test_a_budget_that_is_too_small_names_keys_that_reach_it(name: str, ratio: float) -> None:
    data = {"name": "cifar10", "root": "nowhere", "image_size": 224, "train_limit": None}
    model = {"name": name, "args": {}}
    with pytest.raises(InputError, match="below the smallest reachable subnet") as error:
        plan(_spec(model, data, ratio, {}), dry=True)
    (text,) = re.findall(r"set search\.space \{(.*?)\}", error.value.message)
    space = {key: float(value) for key, value in (pair.split(": ") for pair in text.split(", "))}
    planned = plan(_spec(model, data, ratio, space), dry=True)
    assert f"which reaches {planned.minimum:,}" in error.value.message
    assert planned.minimum <= planned.target


def _spec(model: dict[str, Any], data: dict[str, Any], ratio: float, space: dict[str, float]) -> TrialSpec:
    return TrialSpec.model_validate({"model": model, "data": data, "budget": ratio, "search": {"space": space}})


def test_a_budget_that_no_key_reaches_names_none() -> None:
    with pytest.raises(InputError, match=r"raise the budget or widen search\.space$"):
        plan(small_spec(budget=1e-4))


def test_no_warning_without_weights() -> None:
    assert plan(small_spec(dense={"epochs": 0})).warning == ""
