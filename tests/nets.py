"""One small network of every registered kind: adding a line here runs the contract tests on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.config import ModelSpec, SearchSpec, SpaceSpec
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.pruning import Alive, prune
from ofb_ray.search.supernet import Supernet

_SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 7}
# Windows of 4 and 3 tokens on grids of 16 and 8: shifted in both stages, padded in the second; 4 tokens in the third.
_SWIN = {
    "img_size": 32,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [2, 2, 2],
    "num_heads": [2, 4, 4],
    "num_classes": 7,
}
_TNT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "inner_dim": 16, "depth": 2, "num_heads_inner": 2}
_TNT |= {"num_heads_outer": 4, "qkv_bias": True, "num_classes": 7}
_SWIN_NAME = "swin_tiny_patch4_window7_224"
NETS = {
    "plain": ModelSpec(name="vit_tiny_patch16_224", args=_SMALL),
    "distilled": ModelSpec(name="deit_tiny_distilled_patch16_224", args=_SMALL),
    "deit3": ModelSpec(name="deit3_small_patch16_224", args=_SMALL),
    "registers": ModelSpec(name="vit_small_patch14_reg4_dinov2", args=_SMALL),
    "swin": ModelSpec(name=_SWIN_NAME, args=_SWIN | {"window_size": [4, 3, 4], "drop_path_rate": 0.0}),
    "swin_drop_path": ModelSpec(
        name=_SWIN_NAME,
        args=_SWIN
        | {"depths": [1, 2, 1, 1], "num_heads": [2, 2, 3, 4], "head_dim": 8, "window_size": 4, "drop_path_rate": 0.3},
    ),
    "tnt": ModelSpec(name="tnt_s_patch16_224", args=_TNT),
    "tnt_legacy": ModelSpec(name="tnt_s_legacy_patch16_224", args=_TNT),
}
SPACE = SpaceSpec(embedding_step=4, head_min=1, head_step=1)
SHAPE = (3, 32, 32)


def gone_space(kind: str, **keys: Any) -> SpaceSpec:
    """`SPACE` with candidates of no units: MLPs of every family, and attentions where they run without heads."""
    headless = not kind.startswith(("swin", "tnt"))
    return SpaceSpec.model_validate({**SPACE.model_dump(), "mlp_min": 0, "head_min": int(not headless), **keys})


def network(kind: str) -> nn.Module:
    """The network with every parameter random and of normal size: ones, zeros and 1e-5 would hide faults."""
    torch.manual_seed(0)
    net = create(NETS[kind])
    with torch.no_grad():
        for name, param in net.named_parameters():
            if param.dim() == 1 or any(part in name for part in ("token", "_pos", "pos_", "bias_table")):
                param.copy_(torch.randn_like(param) * 0.3 + (1.0 if "norm" in name or "gamma" in name else 0.0))
            else:
                param.copy_(torch.randn_like(param) * param[0].numel() ** -0.5)
    return net.eval()


def supernet(kind: str, space: SpaceSpec = SPACE) -> Supernet:
    """A supernet with random scores and alphas."""
    net = network(kind)
    made = Supernet(net, describe_backbone(net, space))
    with torch.no_grad():
        for name, param in made.named_parameters():
            if name.endswith("score_U"):
                param.copy_(torch.randn_like(param))
    return made.eval()


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def random_alive(net: Supernet, seed: int) -> Alive:
    """Random survivors of every undecided axis, at least one each."""
    generator = torch.Generator().manual_seed(seed)
    alive = {}
    for name, mask in net.undecided.items():
        flags = mask.alive_IJ & (torch.rand(mask.alive_IJ.shape, generator=generator) < 0.5)
        alive[name] = flags if flags.any() else mask.alive_IJ.clone()
    return alive


def optimizer_of(net: Supernet) -> torch.optim.Optimizer:
    return make_search_optimizer(net, SearchSpec(), 10)


def decide(net: Supernet, seed: int = 0) -> Supernet:
    """Cut at random until every axis is decided."""
    optimizer = optimizer_of(net)
    while net.undecided:
        pruned = prune(net, optimizer, random_alive(net, seed), 0.3)
        net, optimizer, seed = pruned.net, pruned.optimizer, seed + 1
    return net.eval()
