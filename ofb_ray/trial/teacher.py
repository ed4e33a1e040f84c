"""Make the network that a phase distils from."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ofb_ray.backbones.weights import network, preprocessing
from ofb_ray.config import DataSpec, DistillSpec, ModelSpec
from ofb_ray.errors import InputError
from ofb_ray.train.targets import Teacher
from ofb_ray.trial.plan import Plan

_AS_IT_IS = ((0.0,), (1.0,))


def make_teacher(
    distill: DistillSpec | None, dense: nn.Module | None, planned: Plan, device: torch.device
) -> Teacher | None:
    """Make a phase's teacher: a copy of the trial's dense network, or a timm model at the same image size.

    Args:
        distill: of the phase; None has no teacher.
        dense: the trial's dense network, for a teacher named `dense`.
        planned: tells classes, channels, image size and normalisation of the data set.
    Raises:
        InputError: timm cannot build it, or its weights do not fit.
    """
    if distill is None:
        return None
    if distill.teacher == "dense":
        assert dense is not None
        return Teacher(distill, copy.deepcopy(dense).to(device), _AS_IT_IS, _AS_IT_IS)
    args = {key: planned.model.args[key] for key in ("num_classes", "in_chans")}
    model = ModelSpec(
        name=distill.teacher, pretrained=distill.pretrained, weights=distill.weights, args={**args, **distill.args}
    )
    net = _teacher_network(model, planned.data.image_size)
    own = preprocessing(model, DataSpec())
    mean, std = planned.data.mean or own.mean, planned.data.std or own.std
    if own.mean is None or own.std is None or mean is None or std is None:
        return Teacher(distill, net.to(device), _AS_IT_IS, _AS_IT_IS)
    return Teacher(distill, net.to(device), (mean, std), (own.mean, own.std))


def _teacher_network(model: ModelSpec, side: int) -> nn.Module:
    """Build a teacher for images of `side` pixels.

    Raises:
        InputError: it does not take them.
    """
    try:
        net = network(model.model_copy(update={"args": {"img_size": side, **model.args}}))
    except InputError as error:
        if error.key != "model.args":
            raise
        net = network(model)  # convolutional teachers take no img_size
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, model.args["in_chans"], side, side))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{model.name!r} cannot take images of {side} px ({reason}); see its constructor's arguments",
            key="distill.args",
        ) from None
    return net
