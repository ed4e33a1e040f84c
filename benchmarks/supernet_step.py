"""What a search step costs beside a dense step, and what a cut costs.

    python -m benchmarks.supernet_step [--model deit_small_patch16_224 --batch 32 --pairs 7]

Dense: timm's network, cross-entropy, backward, AdamW. Search: the same with all masks, all losses and masked image
modelling on. The two are interleaved in one process, peak memory is measured in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.config import DenseSpec, ModelSpec, SearchSpec, SpaceSpec
from ofb_ray.data import Batch
from ofb_ray.method.cost import cost, units_of
from ofb_ray.method.projection import Goal, make_goal
from ofb_ray.search.losses import SearchLosses
from ofb_ray.search.optim import make_search_optimizer
from ofb_ray.search.pruning import eliminate, mask_utility, project_onto_budget, prune
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.optim import make_optimizer
from ofb_ray.train.run import Run, autocast, pick_device
from ofb_ray.train.supervised import compiled, optimizer_step
from ofb_ray.trial.environment import peak_memory_bytes

Step = Callable[[], None]
IMAGES, EPOCHS = 1_281_167, 100  # ImageNet, as the paper searches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="deit_small_patch16_224")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="dense and decided steps through torch.compile")
    args = parser.parse_args()
    steps = {
        "dense": dense_step(args.model, args.batch, args.compile),
        "search": search_step(args.model, args.batch)[0],
        "decided": decided_step(args.model, args.batch, args.compile),
    }
    for step in steps.values():
        seconds(step)
        seconds(step)
    rounds = [{kind: seconds(step) for kind, step in steps.items()} for _ in range(args.pairs)]
    median = {kind: statistics.median(times[kind] for times in rounds) for kind in steps}
    ratios = [times["search"] / times["dense"] for times in rounds]
    del steps
    memory = {kind: apart(kind, args.model, args.batch) for kind in ("none", "dense", "search")}
    used = {kind: memory[kind] - memory["none"] for kind in ("dense", "search")}
    cut = cut_seconds(args.model)
    figures = {
        "benchmark": "supernet_step",
        "model": args.model,
        "batch": args.batch,
        "compile": args.compile,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        **{f"{kind}_seconds": value for kind, value in median.items()},
        **{f"{kind}_images_per_second": args.batch / value for kind, value in median.items()},
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "memory_ratio": used["search"] / used["dense"],
        "dense_bytes": used["dense"],
        "search_bytes": used["search"],
        "cut_seconds": cut,
        "projected_gpu_days": projected_days(median, args.batch),
    }
    for kind, value in median.items():
        print(f"{kind:<8} {value:.4f} s a step, {args.batch / value:.1f} images/s")
    print(f"ratio    {figures['ratio']:.3f} (median of {args.pairs} rounds, {min(ratios):.3f} to {max(ratios):.3f})")
    dense_mib, search_mib = used["dense"] / 2**20, used["search"] / 2**20
    print(f"memory   {dense_mib:.0f} MiB dense, {search_mib:.0f} MiB search: {search_mib / dense_mib:.3f}")
    print(f"cut      {cut:.3f} s for deciding and cutting every axis")
    print(
        f"search   of {IMAGES:,} images, {EPOCHS} epochs: {figures['projected_gpu_days']:.3f} days on one such device"
    )
    print(json.dumps(figures))


def projected_days(seconds_of: dict[str, float], batch: int) -> float:
    """Device days of a whole search: open at the dense size for half of it, then decided at half of the MACs."""
    images = IMAGES * EPOCHS / 2
    return images / batch * (seconds_of["search"] + seconds_of["decided"]) / 86400


def dense_step(model: str, batch: int, through_compile: bool = False) -> Step:
    """A training step of the dense network."""
    device, spec = pick_device(), DenseSpec()
    net = create(ModelSpec(name=model)).to(device).train()
    optimizer = make_optimizer(net, spec)
    image, label = batch_of(net, batch)
    run = compiled(net) if through_compile else net

    def step() -> None:
        with autocast(device):
            loss = F.cross_entropy(run(image), label)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer_step(optimizer, spec)
        _wait()

    return step


def search_step(model: str, batch: int) -> tuple[Step, Supernet, torch.optim.Optimizer, Goal]:
    """A search step halfway through, masked share at its full 25 %."""
    device, spec = pick_device(), SearchSpec()
    net = create(ModelSpec(name=model))
    backbone = describe_backbone(net, SpaceSpec())
    full = cost(backbone.macs, units_of(backbone.widths))
    supernet = Supernet(net, backbone).to(device).train()
    optimizer = make_search_optimizer(supernet, spec, 1000)
    goal = make_goal(backbone.macs, supernet.candidates(), full // 2)
    step = _losses_step(supernet, optimizer, goal, batch, progress=0.5)
    return step, supernet, optimizer, goal


def decided_step(model: str, batch: int, through_compile: bool = False) -> Step:
    """A search step once every width is decided, at half of the MACs: no masking, no losses but the task's."""
    _, net, optimizer, goal = search_step(model, 1)
    with torch.no_grad():
        for mask in net.undecided.values():
            mask.alpha_IJ.normal_(std=3.0)
    pruned = prune(net, optimizer, project_onto_budget(net, goal, mask_utility(net, goal, 0.1, "both")), 0.1)
    net = pruned.net.train()
    if through_compile:
        net.run = torch.compile(functional_call)
    return _losses_step(net, pruned.optimizer, goal, batch, progress=0.75)


def _losses_step(net: Supernet, optimizer: torch.optim.Optimizer, goal: Goal, batch: int, progress: float) -> Step:
    device, spec = pick_device(), SearchSpec()
    full = cost(goal.terms, {axis.name: axis.full.units for axis in net.backbone.axes})
    losses = SearchLosses(net, spec, goal, full, 1000, Run("search", 0, device, lambda row, state: None))
    image, label = batch_of(net.net, batch)
    part = Batch(image, label, 0, batch, True)

    def step() -> None:
        losses(part, 0, progress, spec.budget_weight).sum().backward()
        optimizer_step(optimizer, spec)
        _wait()

    return step


def cut_seconds(model: str) -> float:
    """Elimination and cut when every axis loses candidates at once, moments included: the largest cut there is."""
    step, net, optimizer, goal = search_step(model, 2)
    step()
    with torch.no_grad():
        for mask in net.undecided.values():
            mask.alpha_IJ.normal_(std=3.0)
    start = time.perf_counter()
    alive = eliminate(net, goal, SearchSpec().threshold)
    pruned = prune(net, optimizer, alive, 0.1)
    _wait()
    took = time.perf_counter() - start
    assert pruned.events
    return took


def batch_of(net: nn.Module, batch: int) -> tuple[Tensor, Tensor]:
    """Noise of the size that the network's weights were made for, and labels, on the device."""
    config: Any = net.pretrained_cfg
    device = pick_device()
    return torch.randn(batch, *config["input_size"], device=device), torch.randint(1000, (batch,), device=device)


def apart(kind: str, model: str, batch: int) -> int:
    """`peak` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(peak, kind, model, batch).result()


def peak(kind: str, model: str, batch: int) -> int:
    """Peak memory of a process after three steps; of one that only imports, for comparison."""
    if kind != "none":
        step = dense_step(model, batch) if kind == "dense" else search_step(model, batch)[0]
        for _ in range(3):
            step()
    return peak_memory_bytes(pick_device())


def seconds(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
