"""Choose the network: the one whose weights are given, the one that is named, or a small ViT for the images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import timm
from timm.models.vision_transformer import VisionTransformer

from ofb_ray.backbones import describe_backbone, known_model
from ofb_ray.backbones.weights import missing
from ofb_ray.commands.starter.shapes import find_model, read_shapes
from ofb_ray.config import Json, ModelSpec, SpaceSpec
from ofb_ray.errors import InputError
from ofb_ray.inputs import user_path
from ofb_ray.trial.plan import meta_network

# A small ViT from scratch: side of the images up to which -> patch, width, blocks, heads. The first as in
# `python -m benchmarks.digits_front`, the others with as many patches.
_SMALL = {32: (4, 96, 4, 6), 64: (8, 128, 6, 4), 128: (16, 192, 6, 6)}
_MOST_NAMED = 3


@dataclass(frozen=True)
class Network:
    """The network of the sweep.

    Args:
        name: timm's.
        stride: pixels of a patch; image sizes are its multiples.
        native: image size that it was made for.
        resizable: whether other image sizes serve as well.
        args: constructor arguments.
        weights: file, as the user gave it.
        pretrained: take timm's weights, which are on this machine.
        lines: what was found, for the user.
        notes: what to know or change, for comments of the sweep file.
        smaller: networks for smaller images, falling, where this one takes too long.
    """

    name: str
    stride: int
    native: int
    resizable: bool
    args: Json = field(default_factory=dict)
    weights: str | None = None
    pretrained: bool = False
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    smaller: tuple[Network, ...] = ()

    @property
    def trained(self) -> bool:
        """Whether it starts from weights."""
        return self.weights is not None or self.pretrained


def choose_network(weights: str | None, model: str | None, side: int, *, gpu: bool) -> Network:
    """Choose the network.

    Args:
        weights: file of weights, `model` a name of timm's, as the user gave them.
        side: of the images, in pixels.
        gpu: whether the machine has one.
    Raises:
        InputError: no such file or model, or no model of timm fits the file.
    """
    if model is not None:
        known_model(model)
    if weights is not None:
        return _with_weights(weights, model)
    if model is not None:
        return _named(model)
    return _small(side, gpu)


def _with_weights(weights: str, model: str | None) -> Network:
    shapes = read_shapes(user_path(weights, "--weights"))
    found = find_model(shapes, weights) if model is None else None
    name = found.name if found else str(model)
    others = found.others if found else ()
    classes = f"{shapes.classes:,} classes" if shapes.classes else "no classifier"
    lines = [f"weights: {name} ({found.reason if found else 'as you say'}), {classes}, {_prepared(name)}"]
    notes = []
    if others:
        shown = ", ".join(others[:_MOST_NAMED]) + (", ..." if len(others) > _MOST_NAMED else "")
        lines.append(f"note: the shapes fit {shown} as well, whose images are prepared otherwise: --model says which")
        notes.append(f"also of these shapes, with other means or sizes of its images: {shown}")
    return _described(name, weights=weights, lines=tuple(lines), notes=tuple(notes))


def _named(model: str) -> Network:
    try:
        cached = not missing(ModelSpec(name=model, pretrained=True))
        offer = "`pretrained: true` fetches timm's weights, which save most of the training"
    except InputError:  # timm has none
        cached, offer = False, ""
    start = f"timm's weights, {_prepared(model)}" if cached else "random weights"
    notes = (offer,) if offer and not cached else ()
    return _described(model, pretrained=cached, lines=(f"model: {model}, from {start}",), notes=notes)


def _small(side: int, gpu: bool) -> Network:
    if gpu and side > max(_SMALL):
        return _described("vit_tiny_patch16_224", lines=("model: vit_tiny_patch16_224, from random weights",))
    largest = next((bound for bound in _SMALL if side <= bound), max(_SMALL))
    first, *others = (_vit(side, bound) for bound in (largest, largest // 2) if bound in _SMALL)
    return replace(first, smaller=tuple(others))


def _vit(side: int, largest: int) -> Network:
    patch, width, depth, heads = _SMALL[largest]
    size = min(max(round(side / patch), 4) * patch, largest)
    return Network(
        "vit_tiny_patch16_224",
        patch,
        size,
        False,
        {"patch_size": patch, "embed_dim": width, "depth": depth, "num_heads": heads},
        lines=("model: a small ViT, from random weights",),
        notes=("trained weights save most of the training: ofb-ray init --weights FILE",),
    )


def _described(name: str, **more: object) -> Network:
    net = meta_network(ModelSpec(name=name))
    tokens = describe_backbone(net, SpaceSpec()).tokens
    resizable = isinstance(net, VisionTransformer)
    return Network(name, tokens.stride, tokens.stride * tokens.grid[0], resizable, **more)  # type: ignore[arg-type]


def _prepared(name: str) -> str:
    config = timm.models.get_pretrained_cfg(name)
    if config is None:
        return "no mean of its images known"
    return "mean " + " ".join(f"{value:.3g}" for value in config.mean)
