"""What a trial will cost, known before anything runs: the budget in MACs, the reachable minimum, the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from ofb_ray import data
from ofb_ray.backbones import create, describe_backbone, known_model, weights
from ofb_ray.backbones.base import Backbone
from ofb_ray.config import DataSpec, ModelSpec, TrialSpec
from ofb_ray.data import Batch, Facts
from ofb_ray.errors import InputError
from ofb_ray.method.cost import cost, smallest, units_of
from ofb_ray.method.projection import Goal, make_goal
from ofb_ray.search.losses import SearchLosses
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.optim import make_optimizer
from ofb_ray.train.run import Run, autocast, pick_device
from ofb_ray.train.supervised import optimizer_step

_FLOPS_PER_MAC = 6  # a forward pass multiplies and adds; a backward pass does both twice


@dataclass(frozen=True)
class Plan:
    """The budget of one trial in numbers; `minimum` and `target` are in units of `resource`.

    Args:
        note: why the candidate grid cannot come within 1 % of the target, or empty.
        missing: what this machine lacks to run it, a line each.
        warning: what is allowed and hardly wanted, or empty.
    """

    dense_macs: int
    dense_params: int
    minimum: int
    target: int
    resource: Literal["macs", "params"]
    note: str
    train_images: int
    missing: tuple[str, ...] = ()
    warning: str = ""


def resolve_model(spec: TrialSpec, facts: Facts | None = None) -> ModelSpec:
    """The model with the number of classes, channels and the image size of its data set.

    Raises:
        InputError: they differ from what `model.args` says, or files are missing.
    """
    found = facts or data.facts(spec.data)
    wanted = {"num_classes": found.classes, "in_chans": found.channels, "img_size": spec.data.image_size}
    for key, value in wanted.items():
        if spec.model.args.get(key, value) != value:
            raise InputError(
                f"is {spec.model.args[key]}, but data set {spec.data.name!r} has {value}", key=f"model.args.{key}"
            )
    return spec.model.model_copy(update={"args": {**wanted, **spec.model.args}})


def resolve_data(spec: TrialSpec) -> DataSpec:
    """The data set with normalisation, interpolation and test crop of the weights, where its spec leaves them open."""
    return data.completed(weights.preprocessing(spec.model, spec.data))


def plan(spec: TrialSpec, *, dry: bool = False) -> Plan:
    """The numbers of a trial, without allocating its network.

    Args:
        dry: what is missing is listed instead of raised; the data set is then as the spec declares it.
    Raises:
        InputError: unknown model, impossible budget (the minimum is named), missing data or weights.
    """
    facts, missing = _facts(spec, dry)
    for key, model in _models(spec):
        if lacking := _lacking(key, model):
            missing.append(lacking)
            if model.weights is not None and not dry:
                raise InputError(lacking.removeprefix("weights: "), key=f"{key}.weights")
    model = resolve_model(spec, facts)
    backbone = describe_backbone(meta_network(model), spec.search.space)
    warning = ""
    if not weights.brings_classifier(model) and not spec.dense.epochs:
        warning = f"the classifier of {facts.classes} classes starts at random and dense.epochs is 0: give it some"
    size, stride = spec.data.image_size, backbone.tokens.stride
    if any(side * stride != size for side in backbone.tokens.grid):
        nearby = f"{size // stride * stride or stride} or {(size // stride + 1) * stride}"
        raise InputError(
            f"{size} is no multiple of the {stride} pixels of a patch: take {nearby}", key="data.image_size"
        )
    dense = units_of(backbone.widths)
    goal = goal_of(spec, backbone)
    return Plan(
        dense_macs=cost(backbone.macs, dense),
        dense_params=cost(backbone.params, dense),
        minimum=cost(goal.terms, units_of(smallest(backbone.axes))),
        target=goal.target,
        resource=spec.budget.resource,
        note=goal.note,
        train_images=facts.train_images,
        missing=tuple(missing),
        warning=warning,
    )


def _models(spec: TrialSpec) -> Iterator[tuple[str, ModelSpec]]:
    """The model and the teachers that bring weights of their own, by the key that names them."""
    yield "model", spec.model
    for key, phase in (("dense", spec.dense), ("search", spec.search), ("finetune", spec.finetune)):
        taught = phase.distill
        if taught is not None and taught.teacher != "dense" and phase.epochs:
            yield (
                f"{key}.distill",
                ModelSpec(name=taught.teacher, pretrained=taught.pretrained, weights=taught.weights, args=taught.args),
            )


def _lacking(key: str, model: ModelSpec) -> str:
    """What of the model's weights is not here; an unknown name is an InputError at `key`."""
    try:
        known_model(model.name)
        return weights.missing(model)
    except InputError as error:
        last = "teacher" if error.key == "model.name" and key != "model" else (error.key or "").rpartition(".")[2]
        raise InputError(error.message, key=f"{key}.{last}") from None


def _facts(spec: TrialSpec, dry: bool) -> tuple[Facts, list[str]]:
    try:
        return data.facts(spec.data.model_copy(update={"download": False}) if dry else spec.data), []
    except InputError as error:
        declared = data.declared(spec.data)
        if not dry or declared is None:
            raise
        fetched = f"{spec.data.name} is not in {spec.data.root}; it is fetched at first use"
        return declared, [f"data: {fetched if spec.data.download else error.message}"]


def meta_network(model: ModelSpec) -> nn.Module:
    """The network without memory for its tensors."""
    with torch.device("meta"):
        return create(weights.bare(model))


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


@dataclass(frozen=True)
class Estimate:
    """Seconds of training, on as many devices as a trial has workers.

    Args:
        dense: of the dense network. trial: of search and fine-tuning. how: where the figures come from, for the user.
    """

    dense: float
    trial: float
    how: str


def estimate_from_tflops(spec: TrialSpec, planned: Plan, tflops: float, workers: int) -> Estimate:
    """By arithmetic, for GPUs that this machine lacks: 6 FLOPs per MAC and image at a sustained rate per GPU.

    The search is counted at the dense cost until `decide_by` and at the target afterwards; data loading and
    evaluation are not counted.
    """
    share = planned.target / (planned.dense_macs if planned.resource == "macs" else planned.dense_params)
    search = spec.search.epochs * (spec.search.decide_by + (1 - spec.search.decide_by) * share)
    images = planned.train_images * (1 - spec.data.val_share)
    epoch = images * planned.dense_macs * _FLOPS_PER_MAC / (tflops * 1e12 * workers)
    return Estimate(
        epoch * spec.dense.epochs,
        epoch * (search + spec.finetune.epochs * share),
        f"by arithmetic at {tflops:g} TFLOP/s sustained per GPU (assumed, not measured: resources.gpu_tflops)",
    )


def estimate_on_device(spec: TrialSpec) -> Estimate:
    """Measured on this machine by a few real steps.

    Fine-tuning is counted at the dense step's cost: an upper bound, for the subnet is smaller. Data loading, evaluation
    and the shrinking of the search are not counted.
    """
    facts, device = data.facts(spec.data), pick_device()
    net = create(weights.bare(resolve_model(spec))).to(device).train()
    backbone = describe_backbone(net, spec.search.space)
    supernet = Supernet(net, backbone).to(device)
    goal = goal_of(spec, backbone)
    full = cost(goal.terms, units_of(backbone.widths))
    run = Run("search", spec.seed, device, lambda row, state: None)
    losses = SearchLosses(supernet, spec.search, goal, full, facts.classes, run)
    plain, searching = make_optimizer(net, spec.dense), make_search_optimizer(supernet, spec.search, 100)
    shape = (facts.channels, spec.data.image_size, spec.data.image_size)

    def dense_step(image: torch.Tensor, label: torch.Tensor) -> None:
        with autocast(device):
            loss = F.cross_entropy(net(image), label)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer_step(plain, spec.dense)

    def search_step(image: torch.Tensor, label: torch.Tensor) -> None:
        losses(Batch(image, label, 0, len(label), True), 0, 0.5, 1.0).sum().backward()
        optimizer_step(searching, spec.search)

    images = facts.train_images * (1 - spec.data.val_share)
    sizes = [phase.micro_batch or phase.batch_size for phase in (spec.dense, spec.search)]
    dense = _seconds_per_image(dense_step, shape, facts.classes, sizes[0], device)
    search = _seconds_per_image(search_step, shape, facts.classes, sizes[1], device)
    rest = search * spec.search.epochs + dense * spec.finetune.epochs
    return Estimate(images * dense * spec.dense.epochs, images * rest, "measured on this machine")


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
