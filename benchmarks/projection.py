"""Time of the budget's two questions on whole candidate grids: `make_goal` and `project`.

    OMP_NUM_THREADS=1 python -m benchmarks.projection [--budget 0.5] [--repeats 7]

Utilities are random. Seconds are of the processor, so that a busy machine counts little; medians over the repeats.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from ofb_ray.backbones import describe_backbone
from ofb_ray.config import ModelSpec, SpaceSpec
from ofb_ray.method.chain import cost_tables
from ofb_ray.method.cost import Table, cost, units_of
from ofb_ray.method.projection import make_goal, project
from ofb_ray.trial.plan import meta_network

NETWORKS = ("deit_small_patch16_224", "deit_base_patch16_224", "swin_small_patch4_window7_224")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    parser.add_argument("--budget", type=float, default=0.5, help="share of the dense MACs")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    print(f"{'network':<32}{'axes':>6}{'candidates':>12}{'make_goal ms':>14}{'project ms':>12}{'by tables':>18}")
    rows = []
    for name in args.network:
        row = measure(name, args.budget, args.repeats)
        print(
            f"{name:<32}{row['axes']:>6}{row['candidates']:>12}{row['goal_ms']:>14.2f}{row['project_ms']:>12.1f}"
            f"{row['table_goal_ms']:>10.2f}{row['table_project_ms']:>8.1f}"
        )
        rows.append(row)
    print(json.dumps({"benchmark": "projection", "budget": args.budget, "repeats": args.repeats, "rows": rows}))


def measure(name: str, budget: float, repeats: int) -> Row:
    """Ask both questions of the whole grid of a network, after one call of each that is not counted."""
    backbone = describe_backbone(meta_network(ModelSpec(name=name)), SpaceSpec())
    candidates = {axis.name: axis.candidates for axis in backbone.axes}
    target = int(budget * cost(backbone.macs, units_of(backbone.widths)))
    rng = random.Random(0)
    utility = {axis: [rng.random() for _ in sizes] for axis, sizes in candidates.items()}
    tables = tuple(
        Table(axes, tuple(tuple(candidates[axis]) for axis in axes), table)
        for axes, table in cost_tables(backbone.macs, candidates).items()
    )
    goal, tabulated = (make_goal(terms, candidates, target) for terms in (backbone.macs, tables))
    return {
        "network": name,
        "axes": len(candidates),
        "candidates": sum(map(len, candidates.values())),
        "goal_ms": 1e3 * seconds(lambda: make_goal(backbone.macs, candidates, target), repeats),
        "project_ms": 1e3 * seconds(lambda: project(goal, candidates, utility), repeats),
        "table_goal_ms": 1e3 * seconds(lambda: make_goal(tables, candidates, target), repeats),
        "table_project_ms": 1e3 * seconds(lambda: project(tabulated, candidates, utility), repeats),
    }


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median processor seconds of `call`."""
    taken = []
    call()
    for _ in range(repeats):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return median(taken)


if __name__ == "__main__":
    main()
