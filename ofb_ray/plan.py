"""What a trial will cost, known before anything runs: the budget in MACs, the reachable minimum, the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from ofb_ray import data
from ofb_ray.backbones import create, describe
from ofb_ray.backbones.base import Backbone
from ofb_ray.errors import InputError
from ofb_ray.method.cost import cost, smallest, units_of
from ofb_ray.method.projection import Goal, make_goal
from ofb_ray.spec import ModelSpec, TrialSpec
from ofb_ray.supernet import Supernet
from ofb_ray.train.optim import make_optimizer, make_search_optimizer
from ofb_ray.train.run import autocast, pick_device
from ofb_ray.train.search import Problem, search_losses
from ofb_ray.train.supervised import descend


@dataclass(frozen=True)
class Plan:
    """The budget of one trial in numbers; `minimum` and `target` are in units of `resource`.

    Args:
        note: why the candidate grid cannot come within 1 % of the target, or empty.
    """

    dense_macs: int
    dense_params: int
    minimum: int
    target: int
    resource: Literal["macs", "params"]
    note: str


def resolve_model(spec: TrialSpec) -> ModelSpec:
    """The model with the number of classes of its data set.

    Raises:
        InputError: classes, channels or image size differ from those of the data set, or files are missing.
    """
    facts = data.facts(spec.data)
    args = {
        "num_classes": facts.classes,
        "in_chans": facts.channels,
        "img_size": spec.data.image_size,
        **spec.model.args,
    }
    for key, wanted in (
        ("num_classes", facts.classes),
        ("in_chans", facts.channels),
        ("img_size", spec.data.image_size),
    ):
        if args[key] != wanted:
            raise InputError(f"is {args[key]}, but data set {spec.data.name!r} has {wanted}", key=f"model.args.{key}")
    weights = spec.model.weights
    if weights is not None and not Path(weights).is_file():
        raise InputError(f"no such file: {weights}", key="model.weights")
    return spec.model.model_copy(update={"args": args})


def plan(spec: TrialSpec) -> Plan:
    """The numbers of a trial, without allocating its network.

    Raises:
        InputError: unknown model, impossible budget (the minimum is named), missing data or weights.
    """
    net = meta_network(resolve_model(spec))
    backbone = describe(net, spec.search.space)
    dense = units_of(backbone.widths)
    goal = goal_of(spec, backbone)
    minimum = cost(goal.terms, units_of(smallest(backbone.axes)))
    resource = spec.budget.resource
    return Plan(cost(backbone.macs, dense), cost(backbone.params, dense), minimum, goal.target, resource, goal.note)


def meta_network(model: ModelSpec) -> nn.Module:
    """The network without memory for its tensors."""
    bare = model.model_copy(update={"pretrained": False, "weights": None})
    with torch.device("meta"):
        return create(bare)


def goal_of(spec: TrialSpec, backbone: Backbone) -> Goal:
    """The budget on the candidate grid of `backbone`.

    Raises:
        InputError: the target lies below the smallest subnet.
    """
    dense = units_of(backbone.widths)
    target = spec.budget.target(cost(backbone.macs, dense), cost(backbone.params, dense))
    terms = backbone.macs if spec.budget.resource == "macs" else backbone.params
    minimum, full = cost(terms, units_of(smallest(backbone.axes))), cost(terms, dense)
    if target < minimum:
        unit = "MACs" if spec.budget.resource == "macs" else "parameters"
        raise InputError(
            f"{spec.budget.label} is {target:,} {unit}, below the smallest reachable subnet: {minimum:,} {unit} "
            f"(ratio {minimum / full:.4f}); raise the budget or widen search.space",
            key="budget",
        )
    return make_goal(terms, {axis.name: axis.candidates for axis in backbone.axes}, target)


def estimate_seconds(spec: TrialSpec) -> tuple[float, float]:
    """Seconds on this machine for (training the dense network, search and fine-tuning), from a few real steps.

    Fine-tuning is counted at the dense step's cost: an upper bound, for the subnet is smaller. Data loading, evaluation
    and the shrinking of the search are not counted.
    """
    model = resolve_model(spec).model_copy(update={"pretrained": False, "weights": None})
    device = pick_device()
    net = create(model).to(device).train()
    backbone = describe(net, spec.search.space)
    supernet = Supernet(net, backbone).to(device)
    goal, facts = goal_of(spec, backbone), data.facts(spec.data)
    full = cost(goal.terms, units_of(backbone.widths))
    problem = Problem(None, spec.search, False, goal, full)  # type: ignore[arg-type]  # the losses read no data
    plain, searching = make_optimizer(net, spec.dense), make_search_optimizer(supernet, spec.search, 100)
    shape = (facts.channels, spec.data.image_size, spec.data.image_size)

    def dense_step(image: torch.Tensor, label: torch.Tensor) -> None:
        with autocast(device):
            loss = F.cross_entropy(net(image), label)
        descend(loss, plain, spec.dense)

    def search_step(image: torch.Tensor, label: torch.Tensor) -> None:
        descend(search_losses(supernet, image, label, 0.5, 1.0, problem).sum(), searching, spec.search)

    images = facts.train_images * (1 - spec.data.val_share)
    dense = _seconds_per_image(dense_step, shape, facts.classes, spec.dense.batch_size, device)
    search = _seconds_per_image(search_step, shape, facts.classes, spec.search.batch_size, device)
    rest = search * spec.search.epochs + dense * spec.finetune.epochs
    return images * dense * spec.dense.epochs, images * rest


def _seconds_per_image(
    step: Callable[[torch.Tensor, torch.Tensor], None],
    shape: tuple[int, ...],
    classes: int,
    batch_size: int,
    device: torch.device,
) -> float:
    """Time of one step over its images, at a batch that takes about a quarter of a second at most."""
    batch, seconds = min(4, batch_size), 0.0
    for _ in range(4):
        image, label = torch.randn(batch, *shape, device=device), torch.randint(classes, (batch,), device=device)
        start = time.perf_counter()
        step(image, label)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        last, batch = batch, max(batch, min(batch_size, int(batch * 0.25 / max(seconds, 1e-4))))
    return seconds / last
