"""Load trained weights into a timm network: a pretrained tag, or a local file, perhaps of another size or task."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from timm.models import adapt_input_conv, load_state_dict
from torch import Tensor, nn

from ofb_ray.backbones import create
from ofb_ray.config import DataSpec, ModelSpec
from ofb_ray.errors import InputError

State = dict[str, Tensor]
# What timm's filters and the decoders of files raise on what is not theirs: a list or a number has no `items`.
UNREADABLE = (
    pickle.UnpicklingError,
    SafetensorError,
    ValueError,
    KeyError,
    OSError,
    RuntimeError,
    AttributeError,
    TypeError,
)


def network(model: ModelSpec) -> nn.Module:
    """Build the timm network of a spec with the weights that it names.

    Raises:
        InputError: an unknown name, arguments that its constructor refuses, a file or download that does not fit.
    """
    if model.weights is not None:
        net = create(model.model_copy(update={"pretrained": False, "weights": None}))
        load_local(net, Path(model.weights))
        return net
    try:
        return create(model)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"no pretrained weights of {model.name!r} ({reason}); fetch them where there is a network, or name a local "
            "file as model.weights",
            key="model.pretrained",
        ) from None


def bare(model: ModelSpec) -> ModelSpec:
    """Return the spec of the same network without its weights."""
    return model.model_copy(update={"pretrained": False, "weights": None})


def brings_classifier(model: ModelSpec) -> bool:
    """Say whether the weights of a spec hold a classifier of its number of classes.

    A local file, if it is there, is tried by loading it, once for each of its states; of one that is not there, and
    of no weights at all, nothing is expected.

    Raises:
        InputError: as `load_local`.
    """
    if model.weights is not None:
        path = Path(model.weights)
        return not path.is_file() or _local_classifier(model.model_dump_json(), path.stat().st_mtime_ns)
    config = timm.models.get_pretrained_cfg(model.name)
    return not model.pretrained or config is None or config.num_classes == model.args.get("num_classes")


@lru_cache(maxsize=8)
def _local_classifier(model: str, _stamp: int) -> bool:
    spec = ModelSpec.model_validate_json(model)
    return not load_local(create(bare(spec)), Path(spec.weights or ""))


def load_local(net: nn.Module, path: Path) -> set[str]:
    """Load a `.safetensors` or `.pth` file, tensors only, into `net`.

    timm's own filters rename released checkpoints and resample position embeddings and patch kernels to another image
    or patch size. A classifier of another number of classes is left as it was initialised; a stem for RGB is
    summed or repeated for another number of channels.

    Returns:
        The classifier's tensors that were left as they were.
    Raises:
        InputError: no such file, more than tensors in it, or tensors of another network.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}", key="model.weights")
    try:
        state: State = load_state_dict(str(path), use_ema=False, device="cpu", weights_only=True)
        state = _filtered(net, state)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} holds no tensors for {type(net).__name__} ({reason})",
            key="model.weights",
        ) from None
    own = net.state_dict()
    fresh = _other_classes(net, state, own)
    state = {name: value for name, value in state.items() if name not in fresh}
    wrong = [name for name, value in state.items() if name not in own or own[name].shape != value.shape]
    lacking = [name for name in own if name not in state and name not in fresh]
    if wrong or lacking:
        kind, names = ("other", wrong) if wrong else ("missing", lacking)
        raise InputError(
            f"{path} does not fit the model: {len(names)} {kind} tensors, such as {names[0]}; see model.name, args",
            key="model.weights",
        )
    net.load_state_dict(state, strict=False)
    return fresh


def preprocessing(model: ModelSpec, data: DataSpec) -> DataSpec:
    """Fill in what `data` leaves open from the weights' own config: mean, std, interpolation, test crop."""
    if model.weights is None and not model.pretrained:
        return data
    config = timm.models.get_pretrained_cfg(model.name)
    channels = model.args.get("in_chans", 3)
    if config is None or len(config.mean) != channels:  # three means would make three channels of one
        return data
    known: dict[str, Any] = {
        "mean": config.mean,
        "std": config.std,
        "interpolation": config.interpolation,
        "crop": config.crop_pct,
    }
    return data.model_copy(
        update={key: value for key, value in known.items() if getattr(data, key) is None and value is not None}
    )


def missing(model: ModelSpec) -> str:
    """Say in a line what of a model's weights is not on this machine; empty where nothing is missing.

    Raises:
        InputError: there are no pretrained weights under that name.
    """
    if model.weights is not None:
        return "" if Path(model.weights).is_file() else f"weights: no such file: {model.weights}"
    if not model.pretrained:
        return ""
    config = timm.models.get_pretrained_cfg(model.name)
    if config is None or not config.has_weights:
        tags = ", ".join(timm.list_pretrained(f"{model.name.partition('.')[0]}*")[:4])
        raise InputError(
            f"timm has no pretrained weights of {model.name!r}; it has {tags or 'none of that name'}",
            key="model.pretrained",
        )
    cached = config.hf_hub_id and isinstance(try_to_load_from_cache(config.hf_hub_id, "model.safetensors"), str)
    return "" if cached else f"weights: {model.name} is not in the download cache; it is fetched at first use"


def _filtered(net: nn.Module, state: State) -> State:
    """Pass tensors through timm's filter of the network's family, and adapt the stem to the number of channels."""
    family = sys.modules[type(net).__module__]
    filter_of = getattr(family, "checkpoint_filter_fn", None) or getattr(family, "_checkpoint_filter_fn", None)
    if filter_of is not None:
        state = dict(filter_of(state, net))
    stem = f"{_names(net, 'first_conv')[0]}.weight" if _names(net, "first_conv") else ""
    own = net.state_dict()
    if stem in state and stem in own and state[stem].shape[1] != own[stem].shape[1]:
        state[stem] = adapt_input_conv(own[stem].shape[1], state[stem])
    return state


def _other_classes(net: nn.Module, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> set[str]:
    """Name the classifier's tensors if those of the file have another number of classes or are not there."""
    names = [f"{head}.{kind}" for head in _names(net, "classifier") for kind in ("weight", "bias")]
    names = [name for name in names if name in own]
    fits = all(name in state and state[name].shape == own[name].shape for name in names)
    return set() if fits else set(names)


def _names(net: nn.Module, key: str) -> tuple[str, ...]:
    names = getattr(net, "pretrained_cfg", {}).get(key) or ()
    return (names,) if isinstance(names, str) else tuple(names)
