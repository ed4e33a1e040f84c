"""How well do tables tell the latency of networks that they were not fitted to, and how well do MACs?

    python -m benchmarks.latency_table [--model vit_tiny_patch16_224 --backend torch onnxruntime --batch 1 8]

For each backend and batch size a table is measured as a trial does, within `--seconds`. Then `--subnets` networks in
which each axis has a random size of its own are timed against the dense one, in turns. The error is that of the ratio
of times: what the table says over what was measured, minus 1; for MACs the share of the MACs in place of the table's,
and also that share scaled by the one factor that suits these networks best.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.config import LatencySpec, ModelSpec, SpaceSpec
from ofb_ray.latency.design import checks
from ofb_ray.latency.measure import measure, prepared, run_turns
from ofb_ray.method.cost import cost, units_of

Row = dict[str, Any]
_TOGETHER = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_tiny_patch16_224")
    parser.add_argument("--backend", nargs="+", default=["torch", "onnxruntime"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=150.0, help="of a table")
    parser.add_argument("--subnets", type=int, default=30)
    parser.add_argument("--turns", type=float, default=8.0, help="seconds for each five subnets")
    args = parser.parse_args()
    rows = []
    for backend in args.backend:
        for batch in args.batch:
            spec = LatencySpec(backend=backend, batch=batch, threads=args.threads, seconds=args.seconds)
            rows.append(row := compare(args.model, spec, args.subnets, args.turns))
            told = "  ".join(f"{name} {100 * row[name][0]:.1f} / {100 * row[name][1]:.1f} %" for name in _NAMES)
            print(
                f"{backend:12} batch {batch:2}: {row['seconds']:.0f} s, {row['networks']} networks; {told}", flush=True
            )
    print(json.dumps({"benchmark": "latency_table", "model": args.model, "threads": args.threads, "rows": rows}))


_NAMES = ("table", "macs", "macs_scaled")


def compare(model: str, spec: LatencySpec, subnets: int, turns: float) -> Row:
    """Measure a table, then networks that it has not seen; median and 90 % quantile of the absolute errors."""
    net = create(ModelSpec(name=model)).eval()
    backbone, image = describe_backbone(net, SpaceSpec()), (3, 224, 224)
    known = measure(net, backbone, spec, image, lambda _: None)
    sizes = checks(backbone, subnets, seed=7)
    measured: list[float] = []
    with prepared(spec) as device:
        for first in range(0, subnets, _TOGETHER):
            part = sizes[first : first + _TOGETHER]
            dense, *times = run_turns(net, backbone, part, spec, image, device, turns)
            measured += [float(np.median(own / dense)) for own in times]
    ratio, full = np.array(measured), units_of(backbone.widths)
    share = np.array([cost(backbone.macs, units_of(one)) for one in sizes]) / cost(backbone.macs, full)
    told = np.array([cost(known.tables, units_of(one)) for one in sizes]) / cost(known.tables, full)
    scaled = share * np.median(ratio / share)
    errors = {name: np.abs(values / ratio - 1) for name, values in zip(_NAMES, (told, share, scaled), strict=True)}
    return {
        "backend": spec.backend,
        "batch": spec.batch,
        "networks": known.networks,
        "seconds": known.seconds,
        "own_error": [known.typical_error, known.large_error],
        "dense_ms": 1e3 * known.dense_seconds,
        "ratios": [float(ratio.min()), float(ratio.max())],
        **{name: [float(np.median(each)), float(np.quantile(each, 0.9))] for name, each in errors.items()},
    }


if __name__ == "__main__":
    main()
