import json
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file


def load(folder: str | Path) -> torch.nn.Module:
    arch = json.loads((Path(folder) / "arch.json").read_text())
    model, args = arch["model"]["name"], arch["model"]["args"]
    if not timm.is_model(model) or any(key[:10] in ("checkpoint", "pretrained", "cache_dir") for key in args):
        raise ValueError("arch.json names weights or a place: it must only name a timm model and its sizes")
    net: torch.nn.Module = timm.create_model(model, **args)
    for name, values in arch["attributes"].items():
        for key, value in values.items():
            setattr(net.get_submodule(name), key, type(getattr(net.get_submodule(name), key))(value))
    tensors = load_file(Path(folder) / "model.safetensors")
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        setattr(net.get_submodule(owner), leaf, torch.nn.Parameter(tensor))
    net.load_state_dict(tensors)
    vars(net)["pretrained_cfg"].update(arch.get("input", {}))
    return net.eval()
