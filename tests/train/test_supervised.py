"""The loop of dense training and fine-tuning: its average, what it resumes from, its teacher, compiled steps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ofb_ray.backbones import create
from ofb_ray.config import DistillSpec
from ofb_ray.data import Dataset, load
from ofb_ray.train.evaluate import evaluate
from ofb_ray.train.run import Run
from ofb_ray.train.supervised import fit
from ofb_ray.train.targets import Teacher
from ofb_ray.trial.plan import resolve_model
from tests.small import small_spec

CPU = torch.device("cpu")
SAME = ((0.0,), (1.0,))


def trained(epochs: int = 2, teacher: Teacher | None = None, **changes: Any) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The small network after some epochs, and its history."""
    spec = small_spec(finetune={"epochs": epochs, **changes})
    rows: list[dict[str, Any]] = []
    torch.manual_seed(0)
    run = Run("finetune", 0, CPU, lambda row, state: rows.append(row))
    return fit(create(resolve_model(spec)), load(spec.data), spec.finetune, run, teacher=teacher), rows


def distance(first: nn.Module, second: nn.Module) -> float:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return sum(float((a - b).detach().norm()) for a, b in pairs)


def test_the_average_lags_behind_and_is_the_result() -> None:
    start = create(resolve_model(small_spec()))
    torch.manual_seed(0)
    start = create(resolve_model(small_spec()))
    plain = trained()[0]
    averaged, rows = trained(ema=0.99)
    assert 0 < distance(averaged, start) < distance(plain, start)
    spec = small_spec(finetune={"epochs": 2, "ema": 0.99})
    assert rows[-1]["top1_val"] == evaluate(averaged, load(spec.data).val, CPU).top1


def test_an_average_that_is_resumed_goes_on_bit_for_bit() -> None:
    spec = small_spec(finetune={"epochs": 2, "ema": 0.9})
    states: list[dict[str, Any]] = []
    torch.manual_seed(0)
    data: Dataset = load(spec.data)
    net = create(resolve_model(spec))
    whole = fit(
        net, data, spec.finetune, Run("finetune", 0, CPU, lambda row, state: states.append(copy.deepcopy(state())))
    )
    again = create(resolve_model(spec))
    resumed = fit(again, data, spec.finetune, Run("finetune", 0, CPU, lambda row, state: None), states[0])
    assert distance(whole, resumed) == 0


def test_a_student_comes_closer_to_its_teacher_than_without() -> None:
    teacher_net = trained(epochs=8)[0]
    data = load(small_spec().data)
    image = next(iter(data.val.test_batches(64, CPU)))[0]

    def gap(net: nn.Module) -> float:
        with torch.no_grad():
            ours, wanted = (each(image).log_softmax(dim=1) for each in (net, teacher_net))
        return float(F.kl_div(ours, wanted, log_target=True, reduction="batchmean"))

    teacher = Teacher(DistillSpec(share=1.0), teacher_net, SAME, SAME)
    assert gap(trained(epochs=4, teacher=teacher)[0]) < 0.8 * gap(trained(epochs=4)[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_training_takes_the_same_steps() -> None:
    plain, compiled = trained(epochs=1)[0], trained(epochs=1, compile=True)[0]
    image = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(compiled(image), plain(image), rtol=1e-3, atol=1e-3)
