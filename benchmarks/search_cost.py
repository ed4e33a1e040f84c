"""Wall time of a whole search over that of dense training for as many epochs, on the bundled digits.

    python -m benchmarks.search_cost [--epochs 20 50 100 --budget 0.5]

The search shrinks its network while it runs, so its later epochs cost less than dense ones. Both run in one process,
one thread each, evaluation of the held-out images included.
"""

from __future__ import annotations

import argparse
import copy
import json
import time

import torch

from benchmarks.digits_front import DIGITS
from ofb_ray.backbones import create, describe_backbone
from ofb_ray.config import TrialSpec
from ofb_ray.data import load
from ofb_ray.method.cost import cost, units_of
from ofb_ray.search.loop import search, start
from ofb_ray.search.state import Problem
from ofb_ray.search.supernet import Supernet
from ofb_ray.train.run import Run, pick_device
from ofb_ray.train.supervised import fit
from ofb_ray.trial.goal import goal_of
from ofb_ray.trial.plan import resolve_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--budget", type=float, default=0.5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(epochs, args.budget) for epochs in args.epochs]
    print(f"{'epochs':>6}  {'dense s':>8}  {'search s':>8}  {'ratio':>6}  {'of budget':>9}  undecided at the end")
    for row in rows:
        shown = f"{row['dense_seconds']:8.2f}  {row['search_seconds']:8.2f}  {row['ratio']:6.2f}  {row['used']:9.4f}"
        print(f"{row['epochs']:>6}  {shown}  {row['projected_axes']}")
    print(json.dumps({"benchmark": "search_cost", "budget": args.budget, "rows": rows}))


def measure(epochs: int, budget: float) -> dict[str, float]:
    """Train densely, then search as long from that network."""
    changed = {**DIGITS, "dense": {"epochs": epochs, "lr": 2e-3}, "search": {"epochs": epochs}, "budget": budget}
    spec = TrialSpec.model_validate(changed)
    data, device = load(spec.data), pick_device()
    torch.manual_seed(spec.seed)
    net = create(resolve_model(spec)).to(device)
    begin = time.perf_counter()
    fit(net, data, spec.dense, Run("dense", 0, device, lambda row, state: None))
    dense = time.perf_counter() - begin
    backbone = describe_backbone(net, spec.search.space)
    goal = goal_of(spec, backbone)
    problem = Problem(data, spec.search, goal, cost(goal.terms, units_of(backbone.widths)))
    run = Run("search", 0, device, lambda row, state: None)
    begin = time.perf_counter()
    found = search(start(Supernet(copy.deepcopy(net), backbone).to(device), problem, run), problem, run)
    took = time.perf_counter() - begin
    return {
        "epochs": epochs,
        "dense_seconds": dense,
        "search_seconds": took,
        "ratio": took / dense,
        "used": cost(goal.terms, units_of(found.net.backbone.widths)) / goal.target,
        "projected_axes": sum("projected" in event for event in found.events),
    }


if __name__ == "__main__":
    main()
