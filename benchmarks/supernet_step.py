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

import torch
from torch.nn import functional as F

from ofb_ray.backbones import create, describe
from ofb_ray.data import Batch
from ofb_ray.environment import peak_memory_bytes
from ofb_ray.method.cost import cost, units_of
from ofb_ray.method.projection import Goal, make_goal
from ofb_ray.pruning import eliminate, prune
from ofb_ray.spec import DenseSpec, ModelSpec, SearchSpec, SpaceSpec
from ofb_ray.supernet import Supernet
from ofb_ray.train.losses import SearchLosses
from ofb_ray.train.optim import make_optimizer, make_search_optimizer
from ofb_ray.train.run import Run, autocast, pick_device
from ofb_ray.train.supervised import descend

Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="deit_small_patch16_224")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=7)
    args = parser.parse_args()
    dense, search = dense_step(args.model, args.batch), search_step(args.model, args.batch)[0]
    seconds(dense)
    seconds(search)
    pairs = [(seconds(dense), seconds(search)) for _ in range(args.pairs)]
    ratios = [second / first for first, second in pairs]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        memory = {
            kind: pool.submit(peak, kind, args.model, args.batch).result() for kind in ("none", "dense", "search")
        }
    used = {kind: memory[kind] - memory["none"] for kind in ("dense", "search")}
    cut = cut_seconds(args.model)
    figures = {
        "benchmark": "supernet_step",
        "model": args.model,
        "batch": args.batch,
        "threads": torch.get_num_threads(),
        "dense_seconds": statistics.median(first for first, _ in pairs),
        "search_seconds": statistics.median(second for _, second in pairs),
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "memory_ratio": used["search"] / used["dense"],
        "dense_bytes": used["dense"],
        "search_bytes": used["search"],
        "cut_seconds": cut,
    }
    print(f"step    dense {figures['dense_seconds']:.3f} s   search {figures['search_seconds']:.3f} s")
    print(f"ratio   {figures['ratio']:.3f} (median of {args.pairs} pairs, {min(ratios):.3f} to {max(ratios):.3f})")
    dense_mib, search_mib = used["dense"] / 2**20, used["search"] / 2**20
    print(f"memory  {dense_mib:.0f} MiB dense, {search_mib:.0f} MiB search: {search_mib / dense_mib:.3f}")
    print(f"cut     {cut:.3f} s for deciding and cutting every axis")
    print(json.dumps(figures))


def dense_step(model: str, batch: int) -> Step:
    """A training step of the dense network."""
    device, spec = pick_device(), DenseSpec()
    net = create(ModelSpec(name=model)).to(device).train()
    optimizer = make_optimizer(net, spec)
    image, label = torch.randn(batch, 3, 224, 224, device=device), torch.randint(1000, (batch,), device=device)

    def step() -> None:
        with autocast(device):
            loss = F.cross_entropy(net(image), label)
        loss.backward()  # type: ignore[no-untyped-call]
        descend(optimizer, spec)
        _wait()

    return step


def search_step(model: str, batch: int) -> tuple[Step, Supernet, torch.optim.Optimizer, Goal]:
    """A search step halfway through, masked share at its full 25 %."""
    device, spec = pick_device(), SearchSpec()
    net = create(ModelSpec(name=model))
    backbone = describe(net, SpaceSpec())
    full = cost(backbone.macs, units_of(backbone.widths))
    supernet = Supernet(net, backbone).to(device).train()
    optimizer = make_search_optimizer(supernet, spec, 1000)
    goal = make_goal(backbone.macs, supernet.candidates(), full // 2)
    run = Run("search", 0, device, lambda row, state: None)
    losses = SearchLosses(supernet, spec, goal, full, 1000, run)
    image, label = torch.randn(batch, 3, 224, 224, device=device), torch.randint(1000, (batch,), device=device)
    part = Batch(image, label, 0, batch, True)

    def step() -> None:
        losses(part, 0, 0.5, spec.budget_weight).sum().backward()
        descend(optimizer, spec)
        _wait()

    return step, supernet, optimizer, goal


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
