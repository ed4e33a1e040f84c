"""Time of a dense network and of subnets at 0.5 and 0.25 of its MACs, in one interleaved run, and which widths help.

    OMP_NUM_THREADS=2 python -m benchmarks.latency [--model deit_small_patch16_224] [--seconds 60]

The subnets are what the search's own projection makes of random preferences for each axis. `grid` names the candidate
grid: the released one, or one whose embedding, head widths and MLPs are multiples of 8, 16 or 32 channels.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from collections.abc import Iterator
from typing import Any

import timm
import torch
from torch import nn

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import resize
from ofb_ray.config import SpaceSpec
from ofb_ray.export.latency import DENSE, Measured, measure
from ofb_ray.export.timing import BACKENDS
from ofb_ray.method.cost import cost, units_of
from ofb_ray.method.projection import make_goal, project
from ofb_ray.train.run import pick_device

Row = dict[str, Any]
RELEASED = SpaceSpec()


def aligned(multiple: int, head_width: int) -> SpaceSpec:
    """The grid whose embedding and head widths are multiples of `multiple` channels; MLPs mostly are anyway."""
    share = min(1.0, multiple / head_width)
    return SpaceSpec(embedding_step=multiple, channel_min=max(share, 0.25), channel_step=max(share, 0.125))


def subnet(dense: nn.Module, space: SpaceSpec, share: float, seed: int) -> tuple[nn.Module, int]:
    """A subnet of at most `share` of the MACs, and its MACs.

    An axis prefers its full size by a weight drawn from a log-normal distribution, so that layers differ.
    """
    backbone = describe_backbone(dense, space)
    rng = random.Random(seed)
    candidates = {axis.name: axis.candidates for axis in backbone.axes}
    total = cost(backbone.macs, units_of(backbone.widths))
    utility = {}
    for axis in backbone.axes:
        weight = math.exp(rng.gauss(0.0, 0.5))
        utility[axis.name] = [weight * math.log(size.units / axis.size.units) for size in axis.candidates]
    widths = project(make_goal(backbone.macs, candidates, int(share * total)), candidates, utility)
    return resize(dense, backbone, widths).eval(), cost(backbone.macs, units_of(widths))


def networks_of(dense: nn.Module, head_width: int, seed: int) -> tuple[dict[str, nn.Module], dict[str, int]]:
    """The dense network and its subnets, by share and grid, and their MACs."""
    backbone = describe_backbone(dense, RELEASED)
    networks, macs = {DENSE: dense}, {DENSE: cost(backbone.macs, units_of(backbone.widths))}
    grids = {"released": RELEASED} | {str(multiple): aligned(multiple, head_width) for multiple in (8, 16, 32)}
    for share, names in ((0.5, tuple(grids)), (0.25, ("released", "16"))):
        for grid in names:
            networks[f"{share:g} {grid}"], macs[f"{share:g} {grid}"] = subnet(dense, grids[grid], share, seed)
    return networks, macs


def rows_of(result: Measured, macs: dict[str, int]) -> Iterator[Row]:
    for name, times in result.times.items():
        ratio, low, high = result.ratio(name)
        yield {
            "network": name,
            "backend": result.backend,
            "batch": result.batch,
            "ms": round(1e3 * times.median, 2),
            "ms_10_90": [round(1e3 * value, 2) for value in times.interval],
            "images_per_second": round(result.batch / times.median, 1),
            "time_ratio": round(ratio, 4),
            "time_ratio_10_90": [round(low, 4), round(high, 4)],
            "mac_ratio": round(macs[name] / macs[DENSE], 4),
            "rounds": len(times.seconds),
        }


def show(row: Row) -> None:
    fast, slow = row["ms_10_90"]
    low, high = row["time_ratio_10_90"]
    times = f"{row['ms']:>9.1f} ({fast:.1f} to {slow:.1f})"
    ratio = f"{row['time_ratio']:.3f} ({low:.2f} to {high:.2f})"
    print(
        f"{row['network']:<14}{row['backend']:<12}{row['batch']:>4} {times:<30}{row['images_per_second']:>8.1f}   "
        f"{ratio:<24}{row['mac_ratio']:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="deit_small_patch16_224")
    parser.add_argument("--head-width", type=int, default=64, help="channels per head of the dense network")
    parser.add_argument("--seconds", type=float, default=60.0, help="at most, for each backend and batch size")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--only", nargs="+", help="these networks beside the dense one, such as '0.5 released'")
    parser.add_argument("--cpu-time", action="store_true", help="count the cores' time: for a machine that is busy")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    networks, macs = networks_of(timm.create_model(arguments.model).eval(), arguments.head_width, arguments.seed)
    networks = {name: net for name, net in networks.items() if name in (DENSE, *(arguments.only or networks))}
    print(f"{arguments.model}, 224 px, {torch.get_num_threads()} threads")
    print("network       backend    batch  ms a batch (10 to 90 %)      images/s   time ratio (10 to 90 %) MAC ratio")
    rows = []
    for result in measure(
        networks,
        (3, 224, 224),
        backends=arguments.backend or BACKENDS,
        batches=arguments.batch or (1, 16),
        device=pick_device(),
        cap_seconds=arguments.seconds,
        clock=time.process_time if arguments.cpu_time else time.perf_counter,
    ):
        for row in rows_of(result, macs):
            show(row)
            rows.append(row)
    clock = "cores" if arguments.cpu_time else "wall"
    facts = {"benchmark": "latency", "model": arguments.model, "threads": torch.get_num_threads(), "clock": clock}
    print(json.dumps({**facts, "load_average": [round(load, 2) for load in os.getloadavg()], "rows": rows}))


if __name__ == "__main__":
    main()
