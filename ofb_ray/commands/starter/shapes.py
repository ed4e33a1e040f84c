"""Find the timm model that a file of weights belongs to, from the shapes of its tensors and from the file's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from timm.models import load_state_dict
from torch import nn

from ofb_ray.backbones.weights import UNREADABLE
from ofb_ray.errors import BrokenFileError, InputError
from ofb_ray.inputs import load_json, read_bytes

# A tensor that only this family has -> timm's modules with its models.
_FAMILIES = {
    "blocks.0.attn_in.qk.weight": ("tnt",),
    "layers.0.blocks.0.attn.qkv.weight": ("swin_transformer",),
    "blocks.0.attn.qkv.weight": ("vision_transformer", "deit"),
}
# They follow the classes, and the image size, and those may differ.
_HEAD = re.compile(r"head[._]")
_OF_SIZE = re.compile(r".*(pos_embed|relative_position|attn_mask|patch_pos|pixel_pos)")
_LATER_BLOCK = re.compile(r"blocks\.[1-9]")


@dataclass(frozen=True)
class Shapes:
    """The tensors of a file: name -> shape."""

    of: dict[str, tuple[int, ...]]

    @property
    def classes(self) -> int:
        """Outputs of its classifier; 0 without one."""
        return next((self.of[key][0] for key in ("head.weight", "head.fc.weight") if key in self.of), 0)

    @property
    def patch(self) -> int:
        """Side of a patch in pixels; 0 where it does not show."""
        return self.of.get("patch_embed.proj.weight", (0,))[-1]


@dataclass(frozen=True)
class Found:
    """The model of a file.

    Args:
        reason: how it was told, for the user.
        others: models of the same shapes for which images are prepared otherwise.
    """

    name: str
    reason: str
    others: tuple[str, ...]


def read_shapes(path: Path) -> Shapes:
    """Read the shapes of a `.safetensors` file from its header, or those of a `.pth` file (tensors only).

    Raises:
        InputError: no such file, or none of tensors.
    """
    try:
        read_bytes(path, 1 << 50, head=1)  # neither a folder nor a FIFO
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                return Shapes({key: tuple(file.get_slice(key).get_shape()) for key in file.keys()})  # noqa: SIM118
        state = load_state_dict(str(path), use_ema=False, device="cpu", weights_only=True)
        return Shapes({key: tuple(value.shape) for key, value in state.items()})
    except FileNotFoundError:
        raise InputError(f"no such file: {path}", key="--weights") from None
    except BrokenFileError as error:
        raise InputError(error.message, file=str(path), key="--weights") from None
    except (SafetensorError, *UNREADABLE) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"holds no tensors ({reason}): give a .safetensors or .pth file", file=str(path)) from None


def find_model(shapes: Shapes, file: str) -> Found:
    """Find the model of timm that a file belongs to.

    Of models of equal shapes the one counts that the file's path or a `config.json` beside it names, then the one of
    the same image size, then the one whose name shares most words with the file's.

    Raises:
        InputError: none of the supported families has these shapes.
    """
    modules = next((modules for key, modules in _FAMILIES.items() if key in shapes.of), None)
    fitting = {
        name: exact for name in _candidates(modules or (), shapes.patch) if (exact := _fit(name, shapes)) is not None
    }
    if not fitting:
        width, blocks = shapes.of.get("patch_embed.proj.weight", ("?",))[0], len(_blocks(shapes))
        told = f" (width {width}, {blocks} blocks, patches of {shapes.patch} px)" if modules else ""
        raise InputError(
            f"no ViT, DeiT, Swin or TNT of timm has these shapes{told}: name its model by --model; sizes of your own "
            "go into model.args of a sweep file",
            file=file,
            key="--weights",
        )
    if named := _named(list(fitting), file):
        return Found(named, "its name is in the path or in config.json", ())
    best = max(fitting, key=lambda name: (fitting[name], _likeness(name, file), -len(name)))
    equals = (name for name, exact in fitting.items() if name != best and exact == fitting[best])
    others = tuple(name for name in equals if _preparation(name) != _preparation(best))
    return Found(best, "from the shapes of its tensors", others)


def _candidates(modules: tuple[str, ...], patch: int) -> Iterator[str]:
    for module in modules:
        for name in timm.list_models(module=module):
            stated = re.search(r"patch(\d+)", name)
            if not patch or stated is None or int(stated[1]) == patch:
                yield name


def _fit(name: str, shapes: Shapes) -> bool | None:
    """Say whether a file fits a model of that name at its own image size; None where it does not at any size.

    They are compared on the meta device; most names fail at their first block, which is made quickly.
    """
    if (first := _meta(name, 1)) is not None:
        start = {key: value for key, value in shapes.of.items() if not _LATER_BLOCK.match(key)}
        if _without(_shapes(first), _HEAD, _OF_SIZE) != _without(start, _HEAD, _OF_SIZE):
            return None
    if (net := _meta(name, None)) is None:
        return None
    own = _shapes(net)
    if _without(own, _HEAD, _OF_SIZE) != _without(shapes.of, _HEAD, _OF_SIZE):
        return None
    return _without(own, _HEAD) == _without(shapes.of, _HEAD)


def _meta(name: str, depth: int | None) -> nn.Module | None:
    try:
        with torch.device("meta"):
            args: dict[str, Any] = {} if depth is None else {"depth": depth}
            made: nn.Module = timm.create_model(name, **args)
        return made
    except (TypeError, ValueError, AssertionError, RuntimeError, IndexError):
        return None


def _shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


def _without(shapes: dict[str, tuple[int, ...]], *left_out: re.Pattern[str]) -> dict[str, tuple[int, ...]]:
    return {key: value for key, value in shapes.items() if not any(each.match(key) for each in left_out)}


def _blocks(shapes: Shapes) -> set[str]:
    return {found[0] for key in shapes.of if (found := re.match(r"(layers\.\d+\.)?blocks\.\d+\.", key))}


def _named(fitting: list[str], file: str) -> str:
    """The model that the path names, with its tag where it names that, or the `config.json` beside the file."""
    path = Path(file).absolute()
    text = str(path)
    tags = [tag for name in fitting for tag in timm.list_pretrained(f"{name}.*")]
    if told := max((name for name in [*fitting, *tags] if name in text), key=len, default=""):
        return told
    try:
        config = load_json(path.with_name("config.json"))
    except (InputError, OSError):
        return ""
    config = config if isinstance(config, dict) else {}
    inner = config.get("pretrained_cfg")
    tag = inner.get("tag") if isinstance(inner, dict) else None
    name = str(config.get("architecture"))
    full = f"{name}.{tag}"
    return full if full in tags else name if name in fitting else ""


def _likeness(name: str, file: str) -> int:
    """Count the words of the name that the file's name has as well."""
    return len(set(name.split("_")) & set(re.split(r"[\W_]+", Path(file).stem.lower())))


def _preparation(name: str) -> tuple[object, ...]:
    config = timm.models.get_pretrained_cfg(name)
    return () if config is None else (config.mean, config.std, config.interpolation, config.crop_pct)
