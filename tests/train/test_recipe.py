"""The training recipe, key by key: each test fails if its key is ignored."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.config import DistillSpec, FinetuneSpec, PhaseSpec, SearchSpec
from ofb_ray.data import Batch, Dataset, load
from ofb_ray.errors import InputError
from ofb_ray.method.cost import cost, units_of
from ofb_ray.search.losses import SearchLosses
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.pruning import project_onto_budget, prune
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.optim import make_optimizer
from ofb_ray.train.run import Run
from ofb_ray.train.supervised import fit
from ofb_ray.train.targets import Teacher, apply_mixup, task_loss
from ofb_ray.trial.plan import goal_of, plan, resolve_model
from ofb_ray.trial.teacher import make_teacher
from tests.nets import network
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
    from ofb_ray.train.evaluate import evaluate

    assert rows[-1]["top1_val"] == evaluate(averaged, load(spec.data).val, CPU).top1


def test_an_average_that_is_resumed_goes_on_bit_for_bit() -> None:
    spec = small_spec(finetune={"epochs": 2, "ema": 0.9})
    states: list[dict[str, Any]] = []
    torch.manual_seed(0)
    data: Dataset = load(spec.data)
    net = create(resolve_model(spec))
    whole = fit(net, data, spec.finetune, Run("finetune", 0, CPU, lambda row, state: states.append(_copy(state()))))
    again = create(resolve_model(spec))
    resumed = fit(again, data, spec.finetune, Run("finetune", 0, CPU, lambda row, state: None), states[0])
    assert distance(whole, resumed) == 0


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    import copy

    return copy.deepcopy(state)


@pytest.mark.parametrize("kind", ["plain", "swin"])
def test_rates_fall_by_layer_below_the_head(kind: str) -> None:
    net = network(kind)
    names = {id(param): name for name, param in net.named_parameters()}
    optimizer = make_optimizer(net, FinetuneSpec(lr=1.0, min_lr=0.1, layer_decay=0.5))
    peak = {names[id(param)]: group["peak"] for group in optimizer.param_groups for param in group["params"]}
    decay = {names[id(param)]: group["weight_decay"] for group in optimizer.param_groups for param in group["params"]}
    assert peak.keys() == set(names.values())
    head = next(name for name in peak if name.startswith("head") and name.endswith("weight"))
    stem = "patch_embed.proj.weight"
    blocks = [name for name in peak if name.endswith("mlp.fc1.weight")]
    ladder = [peak[name] for name in (stem, *blocks, head)]
    assert ladder == sorted(ladder)
    assert len(set(ladder)) >= 3
    assert peak[head] == 1.0
    assert peak[blocks[0]] == 0.5 * peak[blocks[1]]
    floors = {group["floor"] / group["peak"] for group in optimizer.param_groups}
    assert all(floor == pytest.approx(0.1) for floor in floors)
    assert {name for name, value in decay.items() if value} == {
        name for name, param in net.named_parameters() if param.dim() > 1 and not _exempt(name)
    }


def _exempt(name: str) -> bool:
    return any(part in name for part in ("token", "pos_embed", "relative_position_bias_table"))


@pytest.mark.parametrize("changes", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_mixing_keeps_the_mass_of_images_and_labels(changes: dict[str, float]) -> None:
    torch.manual_seed(0)
    image, label = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 8, 8).clone(), torch.arange(5)
    found, soft = apply_mixup(image, label, 5, PhaseSpec(**changes))
    assert soft.shape == (5, 5)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(5))
    assert not torch.equal(found, image)
    # Each image's mean is the mean of the class numbers under its label.
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), soft @ torch.arange(5.0))
    assert apply_mixup(image, label, 5, PhaseSpec()) == (image, label)


def test_a_teachers_loss_is_hintons() -> None:
    logits, wanted, label = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    spec = DistillSpec(share=0.25, temperature=2.0)
    p, q = (wanted / 2).softmax(dim=1), (logits / 2).softmax(dim=1)
    divergence = (p * (p / q).log()).sum(dim=1).mean()
    hard = F.cross_entropy(logits, label, label_smoothing=0.1)
    torch.testing.assert_close(task_loss(logits, label, 0.1, (spec, wanted)), 0.75 * hard + 0.25 * 4 * divergence)
    assert task_loss(logits, label, 0.1, None) == hard


def test_a_teacher_sees_images_as_it_was_trained() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, image: Tensor) -> Tensor:
            return image.mean(dim=(2, 3))

    pixels = torch.rand(2, 3, 4, 4)
    seen, wanted = ((0.5, 0.5, 0.5), (0.25, 0.5, 0.5)), ((0.1, 0.2, 0.3), (1.0, 2.0, 0.5))
    as_student = (pixels - 0.5) / torch.tensor(seen[1]).view(1, 3, 1, 1)
    as_teacher = (pixels - torch.tensor(wanted[0]).view(1, 3, 1, 1)) / torch.tensor(wanted[1]).view(1, 3, 1, 1)
    logits = Teacher(DistillSpec(), Mean(), seen, wanted).logits(as_student)
    torch.testing.assert_close(logits, as_teacher.mean(dim=(2, 3)))


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


def test_mixing_begins_in_the_search_when_every_width_is_decided() -> None:
    """Undecided: a mixed batch would change the task loss of a fixed network; decided: it does."""
    spec = small_spec(search={"pmim": {"mode": "off"}})
    torch.manual_seed(0)
    net = create(resolve_model(spec))
    backbone = describe_backbone(net, spec.search.space)
    goal = goal_of(spec, backbone)
    full = cost(goal.terms, units_of(backbone.widths))
    supernet = Supernet(net, backbone).eval()
    run = Run("search", 0, CPU, lambda row, state: None)
    batch = Batch(torch.randn(16, 1, 8, 8), torch.arange(16) % 10, 0, 16, True)

    def loss(of: Supernet, **changes: Any) -> float:
        torch.manual_seed(0)
        search = SearchSpec.model_validate(spec.search.model_dump() | changes)
        return float(SearchLosses(of, search, goal, full, 10, run)(batch, 0, 0.5, 1.0)[0].detach())

    assert loss(supernet, mixup=0.8) == loss(supernet)
    optimizer = make_search_optimizer(supernet, spec.search, 10)
    decided = prune(supernet, optimizer, project_onto_budget(supernet, goal, 0.1, "both"), 0.1).net.eval()
    assert loss(decided, mixup=0.8) != loss(decided)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_training_takes_the_same_steps() -> None:
    plain, compiled = trained(epochs=1)[0], trained(epochs=1, compile=True)[0]
    image = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(compiled(image), plain(image), rtol=1e-3, atol=1e-3)


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
