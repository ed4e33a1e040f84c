"""The teachers that a spec can name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ofb_ray.backbones import create
from ofb_ray.config import DistillSpec
from ofb_ray.errors import InputError
from ofb_ray.trial.plan import plan, resolve_model
from ofb_ray.trial.teacher import make_teacher
from tests.small import small_spec

CPU = torch.device("cpu")


def test_the_dense_network_teaches_by_its_name() -> None:
    spec = small_spec()
    dense = create(resolve_model(spec))
    teacher = make_teacher(DistillSpec(teacher="dense"), dense, plan(spec), CPU)
    assert teacher is not None
    image = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(teacher.logits(image), dense.eval()(image))
    assert make_teacher(None, dense, plan(spec), CPU) is None


def test_another_model_teaches_with_its_own_weights() -> None:
    name = {"teacher": "vit_tiny_patch16_224", "pretrained": False, "args": {"patch_size": 4, "depth": 1}}
    spec = small_spec(finetune={"distill": name})
    teacher = make_teacher(spec.finetune.distill, None, plan(spec), CPU)
    assert teacher is not None
    assert teacher.logits(torch.randn(2, 1, 8, 8)).shape == (2, 10)
    with pytest.raises(InputError, match="cannot take images of 8 px") as error:
        make_teacher(DistillSpec(teacher="vit_tiny_patch16_224", pretrained=False), None, plan(spec), CPU)
    assert error.value.key == "distill.args"


@pytest.mark.parametrize(
    ("distill", "key", "told"),
    [
        ({"teacher": "deit_smal_patch16_224"}, "teacher", "did you mean 'deit_small_patch16_224'"),
        ({"teacher": "deit_small_patch16_224", "weights": "none.pth"}, "weights", "no such file: none.pth"),
        ({"teacher": "vit_base_patch16_xp_224"}, "pretrained", "no pretrained weights"),
    ],
)
def test_a_teacher_that_is_not_there_is_told_before_anything_runs(distill: dict[str, Any], key: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        plan(small_spec(finetune={"distill": distill}))
    assert error.value.key == f"finetune.distill.{key}"
