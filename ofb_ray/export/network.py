"""A subnet as a plain timm model: `arch.json` says how to build it, `model.safetensors` what it weighs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import resize
from ofb_ray.config import DataSpec, SpaceSpec
from ofb_ray.method.axis import Width, Widths
from ofb_ray.results.atomic import write_atomic, write_json
from ofb_ray.results.files import ARCH_FILE, WEIGHTS_FILE

FORMAT = 1
Arch = dict[str, Any]
_NO_SIZES = ("training", "pretrained_cfg", "default_cfg")


def make_arch(name: str, args: Mapping[str, Any], widths: Widths, images: DataSpec | None = None) -> Arch:
    """The architecture as JSON: the timm name, its constructor arguments, the size of every axis.

    Args:
        images: completed; how images were prepared is then told in timm's words, under `input`.
    """
    sizes = {axis: {"heads": width.heads, "width": width.width} for axis, width in widths.items()}
    arch: Arch = {"format": FORMAT, "model": {"name": name, "args": dict(args)}, "widths": sizes}
    if images is not None and images.mean is not None and images.std is not None:
        arch["input"] = {
            "input_size": [len(images.mean), images.image_size, images.image_size],
            "mean": list(images.mean),
            "std": list(images.std),
            "interpolation": images.interpolation,
            "crop_pct": images.crop,
        }
    return arch


def widths_of(arch: Arch) -> dict[str, Width]:
    """Return the size of every axis of an architecture."""
    return {axis: Width(size["heads"], size["width"]) for axis, size in arch["widths"].items()}


def build(arch: Arch) -> nn.Module:
    """The network of an architecture, its tensors not yet loaded.

    Raises:
        ValueError: made by a newer format.
    """
    if arch["format"] != FORMAT:
        raise ValueError(f"{ARCH_FILE} has format {arch['format']}; this version reads {FORMAT}")
    net = timm.create_model(arch["model"]["name"], pretrained=False, **arch["model"]["args"])
    made = resize(net, describe_backbone(net, SpaceSpec()), widths_of(arch))
    # What timm.data.resolve_model_data_config reads.
    prepared = {key: tuple(value) if isinstance(value, list) else value for key, value in arch.get("input", {}).items()}
    made.pretrained_cfg = {**getattr(net, "pretrained_cfg", {}), **prepared}  # type: ignore[assignment]
    return made


def with_attributes(arch: Arch) -> Arch:
    """The architecture with what timm's modules keep beside their tensors, where the cut changed it.

    `attributes` is module name -> attribute -> value (head counts, softmax scales, sizes of layers): enough to
    rebuild the network from its tensors without knowing its family (`loader.py`).
    """
    full = dict(timm.create_model(arch["model"]["name"], pretrained=False, **arch["model"]["args"]).named_modules())
    found = {}
    for name, module in build(arch).named_modules():
        changed = {
            key: value
            for key, value in vars(module).items()
            if not key.startswith("_") and key not in _NO_SIZES and isinstance(value, int | float | tuple | list)
            if value != vars(full[name])[key]
        }
        if changed:
            found[name] = changed
    return {**arch, "attributes": found}


def input_size_of(arch: Arch) -> tuple[int, int, int]:
    """Channels, height and width of the images that the network takes."""
    args = arch["model"]["args"]
    return args.get("in_chans", 3), args["img_size"], args["img_size"]


def tensors(net: nn.Module) -> dict[str, Tensor]:
    """The state of a network as contiguous tensors on the CPU."""
    return {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}


def save_network(net: nn.Module, arch: Arch, folder: Path) -> None:
    """Write `arch.json` and `model.safetensors` into `folder`, each atomically."""
    write_atomic(folder / WEIGHTS_FILE, save(tensors(net)))
    write_json(folder / ARCH_FILE, arch)


def load_exported(folder: Path) -> nn.Module:
    """The subnet in `folder` as a plain timm model in eval mode.

    Raises:
        FileNotFoundError: `arch.json` or `model.safetensors` is missing.
    """
    net = build(json.loads((folder / ARCH_FILE).read_text()))
    net.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return net.eval()


def load(path: str | Path) -> nn.Module:
    """Load the exported subnet in folder `path` (`arch.json`, `model.safetensors`) as a plain timm model in eval mode.

    Raises:
        FileNotFoundError: `arch.json` or `model.safetensors` is missing.
    """
    return load_exported(Path(path))
