"""OFB against uniform narrowing, magnitude pruning and random subnets at equal MACs and equal fine-tuning.

    python -m benchmarks.digits_front                     digits, three seeds
    python -m benchmarks.digits_front --cifar10 FOLDER    CIFAR-10 as image folders: digits are too easy
    python -m benchmarks.digits_front --sweep FILE        model, data and training of a sweep file

Every method starts from the same dense network (seed by seed), except narrowing, which is trained from scratch for as
many epochs as OFB has in all. Prints mean and standard deviation of test top-1, and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.baselines import magnitude_network, random_network, uniform_network
from ofb_ray.backbones.flops import operator_macs
from ofb_ray.config import FitSpec, TrialSpec, put
from ofb_ray.config.load import load_sweep
from ofb_ray.config.yaml12 import parse_scalar
from ofb_ray.data import load
from ofb_ray.train.evaluate import evaluate
from ofb_ray.train.run import Run, pick_device
from ofb_ray.train.supervised import fit
from ofb_ray.trial.dense import dense_network
from ofb_ray.trial.plan import plan
from ofb_ray.trial.run import run_trial

METHODS = ("ofb", "magnitude", "magnitude+", "uniform", "random")
DIGITS: dict[str, Any] = {
    "model": {
        "name": "vit_tiny_patch16_224",
        "args": {"img_size": 8, "patch_size": 4, "in_chans": 1, "embed_dim": 64, "depth": 4, "num_heads": 4},
    },
    "dense": {"epochs": 30, "lr": 2e-3},
    "search": {"epochs": 30},
    "finetune": {"epochs": 20},
}
CIFAR10: dict[str, Any] = {
    "model": {
        "name": "vit_tiny_patch16_224",
        "args": {"img_size": 32, "patch_size": 8, "embed_dim": 96, "depth": 4, "num_heads": 6},
    },
    "data": {"name": "folder", "image_size": 32, "train_limit": 12000, "test_limit": 10000, "augment": True},
    "dense": {"epochs": 15, "batch_size": 128, "lr": 2e-3},
    # One long schedule: the search keeps its learning rate and fine-tuning anneals (docs/log.md).
    "search": {"epochs": 15, "batch_size": 128, "lr": 2e-3, "min_lr": 2e-3},
    "finetune": {"epochs": 10, "batch_size": 128, "lr": 2e-3, "warmup": 0.0},
}


def main() -> None:
    args = _arguments()
    setting = json.loads(json.dumps(CIFAR10 if args.cifar10 else DIGITS))
    if args.sweep:
        setting = load_sweep(args.sweep).model_dump(mode="json", include={*TrialSpec.model_fields} - {"chain"})
    if args.cifar10:
        setting["data"]["root"] = str(args.cifar10.resolve())
    for text in args.set:
        key, _, value = text.partition("=")
        put(setting, key, parse_scalar(value, "--set", key))
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.work or Path(scratch)
        jobs = [
            (setting, budget, seed, method, folder)
            for seed in args.seeds
            for budget in args.budgets
            for method in args.methods
        ]
        # Jobs of one seed share its dense network, so they start after it is there.
        with ProcessPoolExecutor(
            args.jobs, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            list(pool.map(_train_dense, [(setting, args.budgets[0], seed, folder) for seed in args.seeds]))
            rows = list(pool.map(_run, jobs))
    _report(rows, args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, help="folder with train/<class>/* and test/<class>/*")
    parser.add_argument("--sweep", type=Path, help="a sweep file; its budgets, seeds and parameters are not used")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.25, 0.5])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of a trial's spec")
    parser.add_argument("--work", type=Path, help="keep dense networks and decoded images here")
    return parser.parse_args()


def _spec(setting: dict[str, Any], budget: float, seed: int) -> TrialSpec:
    return TrialSpec.model_validate({**setting, "budget": budget, "seed": seed})


def _train_dense(job: tuple[dict[str, Any], float, int, Path]) -> None:
    setting, budget, seed, folder = job
    spec = _spec(setting, budget, seed)
    planned = plan(spec)
    dense_network(spec, planned, load(planned.data, folder / "data"), folder, lambda row: None, lambda text, done: None)


def _run(job: tuple[dict[str, Any], float, int, str, Path]) -> dict[str, Any]:
    """Test top-1 of one method at one budget and seed."""
    setting, budget, seed, method, folder = job
    spec = _spec(setting, budget, seed)
    start = time.perf_counter()
    row: dict[str, Any] = {"method": method, "budget": budget, "seed": seed}
    if method == "ofb":
        with tempfile.TemporaryDirectory() as work:
            record = run_trial(spec, lambda progress: None, Path(work), shared=folder)
        assert record.subnet is not None, record.reason
        assert record.dense is not None
        facts = {
            "top1": record.subnet.top1_test,
            "val": record.subnet.top1_val,
            "ratio": record.subnet.macs / record.dense.macs,
        }
    else:
        facts = _rival(spec, method, folder)
    row |= {**facts, "seconds": time.perf_counter() - start}
    print(json.dumps(row), flush=True)
    return row


def _rival(spec: TrialSpec, method: str, folder: Path) -> dict[str, Any]:
    planned = plan(spec)
    data, device = load(planned.data, folder / "data"), pick_device()
    dense = dense_network(spec, planned, data, folder, lambda row: None, lambda text, done: None)
    target = planned.target
    image = (data.channels, spec.data.image_size, spec.data.image_size)
    recipe: FitSpec = spec.finetune
    if method == "uniform":
        net = uniform_network(planned.model, target, spec.seed)
        recipe = spec.dense.model_copy(update={"epochs": spec.dense.epochs + spec.search.epochs + spec.finetune.epochs})
    elif method == "random":
        net = random_network(dense.net, target, spec.seed)
    else:
        net = magnitude_network(dense.net, target, image)
        if method == "magnitude+":
            recipe = recipe.model_copy(update={"epochs": spec.search.epochs + spec.finetune.epochs})
    run = Run("finetune", spec.seed, device, lambda row, state: None)
    net = fit(net.to(device), data, recipe, run)
    return {
        "top1": evaluate(net, data.test, device).top1,
        "val": evaluate(net, data.val, device).top1,
        "ratio": operator_macs(net, image) / dense.network.macs,
    }


def _report(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    print(f"\n{'budget':>6}  {'method':<11} {'test top-1':>16}  {'MAC ratio':>9}  {'seconds':>7}")
    figures: dict[str, Any] = {}
    for budget in args.budgets:
        for method in args.methods:
            cell = [row for row in rows if row["method"] == method and row["budget"] == budget]
            top1 = [row["top1"] for row in cell]
            deviation = statistics.stdev(top1) if len(top1) > 1 else None
            shown = f"{statistics.mean(top1):.2f}" + (f" +- {deviation:.2f}" if deviation is not None else "")
            ratio, seconds = (statistics.mean(row[key] for row in cell) for key in ("ratio", "seconds"))
            print(f"{budget:>6g}  {method:<11} {shown:>16}  {ratio:>9.4f}  {seconds:>7.1f}")
            figures[f"{method}@{budget:g}"] = {
                "top1": top1,
                "mean": statistics.mean(top1),
                "deviation": deviation,
                "ratio": ratio,
            }
    print(
        json.dumps(
            {
                "benchmark": "digits_front",
                "data": args.sweep.stem if args.sweep else "cifar10" if args.cifar10 else "digits",
                "seeds": args.seeds,
                **figures,
            }
        )
    )


if __name__ == "__main__":
    main()
