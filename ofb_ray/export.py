"""A subnet as a plain timm model: `arch.json` says how to build it, `model.safetensors` what it weighs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ofb_ray.backbones import describe
from ofb_ray.backbones.base import resize
from ofb_ray.errors import InputError
from ofb_ray.method.axis import Width, Widths
from ofb_ray.records import ARCH_FILE, RECORD_FILE, WEIGHTS_FILE, read_record, write_atomic, write_json
from ofb_ray.spec import DataSpec, SpaceSpec

FORMAT = 1
Arch = dict[str, Any]


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


def build(arch: Arch) -> nn.Module:
    """The network of an architecture, its tensors not yet loaded.

    Raises:
        ValueError: made by a newer format.
    """
    if arch["format"] != FORMAT:
        raise ValueError(f"{ARCH_FILE} has format {arch['format']}; this version reads {FORMAT}")
    net = timm.create_model(arch["model"]["name"], pretrained=False, **arch["model"]["args"])
    widths = {axis: Width(size["heads"], size["width"]) for axis, size in arch["widths"].items()}
    made = resize(net, describe(net, SpaceSpec()), widths)
    # What timm.data.resolve_model_data_config reads.
    prepared = {key: tuple(value) if isinstance(value, list) else value for key, value in arch.get("input", {}).items()}
    made.pretrained_cfg = {**getattr(net, "pretrained_cfg", {}), **prepared}  # type: ignore[assignment]
    return made


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


def export_trial(folder: Path, to: Path) -> None:
    """Copy a finished trial's subnet and its record to the folder `to`, made if missing.

    Raises:
        InputError: not a trial folder, not finished, or `to` holds another subnet.
    """
    try:
        record = read_record(folder)
    except ValueError as error:
        raise InputError(str(error)) from None
    if record is None:
        raise InputError(f"{folder} has no {RECORD_FILE}: no finished trial (see `ofb-ray status`)")
    if record.status != "finished":
        raise InputError(f"{folder} has no subnet: the trial {record.status} ({record.reason})")
    if (to / ARCH_FILE).exists() and (to / ARCH_FILE).resolve() != (folder / ARCH_FILE).resolve():
        raise InputError(f"{to} already holds a subnet; name an empty or a new folder", key="--to")
    to.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS_FILE, RECORD_FILE, ARCH_FILE):
        shutil.copyfile(folder / name, to / name)
