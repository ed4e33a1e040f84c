"""Plan a trial before anything runs: what its spec leaves open, its network as data, its budget in numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ofb_ray import data
from ofb_ray.backbones import create, describe_backbone, known_model, weights
from ofb_ray.backbones.base import Backbone
from ofb_ray.config import DataSpec, ModelSpec, Resource, TrialSpec
from ofb_ray.data import Facts
from ofb_ray.errors import InputError
from ofb_ray.latency.file import read_table, tables_of
from ofb_ray.method.axis import Widths
from ofb_ray.method.cost import Part, cost, smallest, units_of
from ofb_ray.method.projection import Goal
from ofb_ray.results.records import BudgetOutcome, Network
from ofb_ray.trial.goal import goal_of

# Of the MACs: a front that needs no training has many budgets, as each costs seconds.
UNTRAINED_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)


@dataclass(frozen=True)
class Plan:
    """What follows from a trial's spec; `minimum` and `target` are in units of `resource`.

    Args:
        model: with the classes, channels and image size of the data set among its arguments.
        data: with normalisation, interpolation and test crop as they will be used.
        backbone: the dense network as data: axes, cuts, cost.
        goal: the budget on the candidate grid.
        dense_macs: multiply-accumulates of the dense network, for one image.
        dense_params: its parameters.
        minimum: cost of the smallest reachable subnet.
        target: what the subnet may cost at most.
        resource: what the budget counts.
        note: why the candidate grid cannot come within 1 % of the target, or empty.
        train_images: images of the training split, the held-out share included.
        missing: what this machine lacks to run it, a line each.
        warning: what is allowed and hardly wanted, or empty.
        dense_ns: nanoseconds of a pass of the dense network; None where the budget limits another cost.
        provisional: `goal`, `minimum` and `target` stand for those of a latency that is not known yet.
    """

    model: ModelSpec
    data: DataSpec
    backbone: Backbone
    goal: Goal
    dense_macs: int
    dense_params: int
    minimum: int
    target: int
    resource: Resource
    note: str
    train_images: int
    missing: tuple[str, ...] = ()
    warning: str = ""
    dense_ns: int | None = None
    provisional: bool = False

    @property
    def dense_cost(self) -> int:
        """The dense network's cost in units of `resource`."""
        if self.dense_ns is not None:
            return self.dense_ns
        return self.dense_params if self.resource == "params" else self.dense_macs

    def latency_ns(self, widths: Widths) -> int | None:
        """Tell the nanoseconds of a network by the tables; None where the budget limits another cost."""
        return None if self.dense_ns is None else cost(self.goal.terms, units_of(widths))

    def outcome(self, label: str, subnet: Network | None) -> BudgetOutcome:
        """Say for a record how the budget was kept.

        Args:
            label: of the budget.
            subnet: None where the trial ended without one.
        """
        used = None if subnet is None else round(getattr(subnet, self.resource) / self.target, 6)
        return BudgetOutcome(
            label=label, resource=self.resource, target=self.target, used=used, minimum=self.minimum, note=self.note
        )


def resolve_model(spec: TrialSpec, facts: Facts | None = None) -> ModelSpec:
    """Complete the arguments of the model by the classes, channels and image size of its data set.

    Args:
        facts: of the data set; None looks them up.
    Raises:
        InputError: they differ from what `model.args` says, or files are missing.
    """
    facts = facts or data.facts(spec.data)
    wanted = {"num_classes": facts.classes, "in_chans": facts.channels, "img_size": spec.data.image_size}
    for key, value in wanted.items():
        if spec.model.args.get(key, value) != value:
            raise InputError(
                f"is {spec.model.args[key]}, but data set {spec.data.name!r} has {value}", key=f"model.args.{key}"
            )
    return spec.model.model_copy(update={"args": {**wanted, **spec.model.args}})


def resolve_data(spec: TrialSpec) -> DataSpec:
    """Complete a data set's spec by normalisation, interpolation and test crop of the weights, else by the defaults."""
    return data.completed(weights.preprocessing(spec.model, spec.data))


def plan(spec: TrialSpec, *, dry: bool = False, latency: Sequence[Part] = ()) -> Plan:
    """Plan a trial without allocating its network.

    Args:
        latency: the tables of its latency, where its budget limits that; without, the plan is provisional.
        dry: list what is missing instead of raising, and take the data set as the spec declares it.
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
    net = meta_network(model)
    backbone = describe_backbone(net, spec.search.space)
    _check_image_size(spec, backbone)
    warning = ""
    if not weights.brings_classifier(model) and not spec.dense.epochs:
        warning = f"the classifier of {facts.classes} classes starts at random and dense.epochs is 0: give it some"
    dense = units_of(backbone.widths)
    latency = latency or _table_of_file(spec, backbone, model)
    provisional = spec.budget.resource == "latency_ns" and not latency
    goal = goal_of(spec, backbone, net, latency)
    return Plan(
        model=model,
        data=resolve_data(spec),
        backbone=backbone,
        goal=goal,
        dense_macs=cost(backbone.macs, dense),
        dense_params=cost(backbone.params, dense),
        minimum=cost(goal.terms, units_of(smallest(backbone.axes))),
        target=goal.target,
        resource=spec.budget.resource,
        note=goal.note,
        train_images=facts.train_images,
        missing=tuple(missing),
        warning=warning,
        dense_ns=cost(latency, dense) if latency and spec.budget.resource == "latency_ns" else None,
        provisional=provisional,
    )


def _table_of_file(spec: TrialSpec, backbone: Backbone, model: ModelSpec) -> Sequence[Part]:
    """Return the tables of latency that a spec names; none where they are to be measured.

    Raises:
        InputError: the file cannot be read, or is another network's.
    """
    path = spec.latency.table if spec.latency is not None else None
    return () if path is None else tables_of(read_table(Path(path)), backbone, model.name, path)


def reachable(specs: Iterable[TrialSpec]) -> tuple[list[tuple[TrialSpec, Plan]], dict[str, str]]:
    """Plan the trials whose budgets their networks can reach, and give the reason for the others, by budget.

    Raises:
        InputError: none is reached, or something else is wrong with one.
    """
    found: list[tuple[TrialSpec, Plan]] = []
    passed_over: dict[str, str] = {}
    for spec in specs:
        try:
            found.append((spec, plan(spec)))
        except InputError as error:
            if error.key != "budget":
                raise
            passed_over[spec.budget.label] = error.message
    if not found:
        raise InputError(next(iter(passed_over.values()), "needs at least one budget"), key="budgets")
    return found, passed_over


def _check_image_size(spec: TrialSpec, backbone: Backbone) -> None:
    size, stride = spec.data.image_size, backbone.tokens.stride
    if any(side * stride != size for side in backbone.tokens.grid):
        sizes = dict.fromkeys((size // stride * stride or stride, (size // stride + 1) * stride))
        nearby = " or ".join(map(str, sizes))
        raise InputError(
            f"{size} is no multiple of the {stride} pixels of a patch: take {nearby}", key="data.image_size"
        )


def _models(spec: TrialSpec) -> Iterator[tuple[str, ModelSpec]]:
    """Yield the model and the teachers that bring weights of their own, each with the key that names it."""
    yield "model", spec.model
    for key, phase in (("dense", spec.dense), ("search", spec.search), ("finetune", spec.finetune)):
        distill = phase.distill
        if distill is not None and distill.teacher != "dense" and phase.epochs:
            yield (
                f"{key}.distill",
                ModelSpec(
                    name=distill.teacher, pretrained=distill.pretrained, weights=distill.weights, args=distill.args
                ),
            )


def _lacking(key: str, model: ModelSpec) -> str:
    """Say what of the model's weights is not on this machine; an unknown name is an InputError at `key`."""
    try:
        known_model(model.name)
        return weights.missing(model)
    except InputError as error:
        last = "teacher" if error.key == "model.name" and key != "model" else (error.key or "").rpartition(".")[2]
        raise InputError(error.message, key=f"{key}.{last}") from None


def _facts(spec: TrialSpec, dry: bool) -> tuple[Facts, list[str]]:
    """Look up the data set's facts; in a dry run those that its spec declares, and a line that it is missing."""
    try:
        return data.facts(spec.data.model_copy(update={"download": False}) if dry else spec.data), []
    except InputError as error:
        declared = data.declared(spec.data)
        if not dry or declared is None:
            raise
        fetched = f"{spec.data.name} is not in {spec.data.root}; it is fetched at first use"
        return declared, [f"data: {fetched if spec.data.download else error.message}"]


def meta_network(model: ModelSpec) -> nn.Module:
    """Build the network on the meta device: shapes, and no memory for tensors."""
    with torch.device("meta"):
        return create(weights.bare(model))
