"""A subnet as a plain timm model: `arch.json` says how to build it, `model.safetensors` what it weighs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.backbones.base import resize
from ofb_ray.config import DataSpec, ModelSpec, SpaceSpec
from ofb_ray.errors import BrokenFileError, InputError
from ofb_ray.inputs import read_bytes, user_path
from ofb_ray.method.axis import Width, Widths
from ofb_ray.results.archs import FORMAT, read_arch
from ofb_ray.results.atomic import write_atomic, write_json
from ofb_ray.results.files import ARCH_FILE, WEIGHTS_FILE

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
        InputError: no such network can be built, or it has other axes.
    """
    net = dense_network(arch)
    backbone, widths = describe_backbone(net, SpaceSpec()), widths_of(arch)
    full = {axis.name: axis.size for axis in backbone.axes}
    for name in full | widths:
        small, large = widths.get(name), full.get(name)
        if small is None or large is None or small.heads > large.heads or small.width > large.width:
            raise InputError(
                f"is {small}, in {arch['model']['name']} at most {large}", file=ARCH_FILE, key=f"widths.{name}"
            )
    try:
        made = resize(net, backbone, widths)
    except (RuntimeError, ValueError, LookupError, ArithmeticError) as error:
        raise InputError(f"its widths make no network ({error})", file=ARCH_FILE, key="widths") from None
    # What timm.data.resolve_model_data_config reads.
    prepared = {key: tuple(value) if isinstance(value, list) else value for key, value in arch.get("input", {}).items()}
    made.pretrained_cfg = {**getattr(net, "pretrained_cfg", {}), **prepared}  # type: ignore[assignment]
    return made


def dense_network(arch: Arch) -> nn.Module:
    """The network that a subnet was cut from, with random weights.

    Raises:
        InputError: timm cannot build it.
    """
    try:
        return create(ModelSpec(name=arch["model"]["name"], args=arch["model"]["args"]))
    except InputError as error:
        raise InputError(error.message, file=ARCH_FILE, key=error.key) from None


def with_attributes(arch: Arch) -> Arch:
    """The architecture with what timm's modules keep beside their tensors, where the cut changed it.

    `attributes` is module name -> attribute -> value (head counts, softmax scales, sizes of layers): enough to
    rebuild the network from its tensors without knowing its family (`loader.py`).
    """
    full = dict(dense_network(arch).named_modules())
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
        InputError: one of them is torn, or they do not belong together.
    """
    net = build(read_arch(folder))
    path = folder / WEIGHTS_FILE
    try:
        read_bytes(path, sys.maxsize, head=1)  # neither a FIFO nor a device
        net.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise BrokenFileError(f"cannot be read ({reason}): copy the trial again", file=str(path)) from None
    return net.eval()


def load(path: str | Path) -> nn.Module:
    """Load the exported subnet in folder `path` (`arch.json`, `model.safetensors`) as a plain timm model in eval mode.

    Raises:
        FileNotFoundError: `arch.json` or `model.safetensors` is missing.
        InputError: one of them is torn, names what must not be built, or they do not belong together.
    """
    return load_exported(user_path(path))
