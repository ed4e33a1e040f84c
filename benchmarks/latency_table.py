"""How well do tables tell the latency of networks that they were not fitted to, and how well do MACs?

    python -m benchmarks.latency_table [--model vit_tiny_patch16_224 --backend torch onnxruntime --batch 1 8]

For each backend and batch size a table is measured as a trial does, within `--seconds`. Then `--subnets` networks in
which each axis has a random size of its own are timed against the dense one, in turns, twice; runs in which the dense
network was slower or faster than in the others are made again, and do not count where they stay so. The error is that
of the ratio of times: what the table says over what was measured (the mean of both timings), minus 1; for MACs the
share of the MACs in place of the table's, and also that share scaled by the one factor that suits these networks best.
`again` is what one of both timings says of the other.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from ofb_ray.backbones import create, describe_backbone
from ofb_ray.config import LatencySpec, ModelSpec, SpaceSpec
from ofb_ray.latency.design import checks
from ofb_ray.latency.measure import measure, prepared
from ofb_ray.latency.turns import time_all
from ofb_ray.method.cost import cost, units_of

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_tiny_patch16_224")
    parser.add_argument("--backend", nargs="+", default=["torch", "onnxruntime"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=150.0, help="of a table")
    parser.add_argument("--subnets", type=int, default=30)
    parser.add_argument("--truth", type=float, default=200.0, help="seconds, at most, of timing the subnets")
    args = parser.parse_args()
    rows = []
    for backend in args.backend:
        for batch in args.batch:
            spec = LatencySpec(backend=backend, batch=batch, threads=args.threads, seconds=args.seconds)
            rows.append(row := compare(args.model, spec, args.subnets, args.truth))
            told = "  ".join(f"{name} {100 * row[name][0]:.1f} / {100 * row[name][1]:.1f} %" for name in _NAMES)
            made = f"{row['seconds']:.0f} s, {row['networks']} networks, {row['repeated']} runs again"
            print(f"{backend:12} batch {batch:2}: {made}; {row['subnets']} subnets: {told}", flush=True)
    print(json.dumps({"benchmark": "latency_table", "model": args.model, "threads": args.threads, "rows": rows}))


_NAMES = ("table", "macs", "macs_scaled", "again")


def compare(model: str, spec: LatencySpec, subnets: int, truth: float) -> Row:
    """Measure a table, then networks that it has not seen; median and 90 % quantile of the absolute errors."""
    net = create(ModelSpec(name=model)).eval()
    backbone, image = describe_backbone(net, SpaceSpec()), (3, 224, 224)
    known = measure(net, backbone, spec, image, _quiet)
    sizes, how = checks(backbone, subnets, seed=7), spec.model_copy(update={"seconds": truth})
    with prepared(spec) as device:
        timed = time_all(net, backbone, [*sizes, *sizes], how, image, device, least=2 * subnets, show=_quiet)
    quiet = {at: ratio for at, ratio in timed.ratios.items() if at not in timed.disturbed}
    both = [quiet[at] / quiet[at + subnets] for at in range(subnets) if at in quiet and at + subnets in quiet]
    measured = {at: [quiet[turn] for turn in (at, at + subnets) if turn in quiet] for at in range(subnets)}
    kept = [at for at, times in measured.items() if times]
    ratio, full = np.array([np.mean(measured[at]) for at in kept]), units_of(backbone.widths)
    share, told = (
        np.array([cost(terms, units_of(sizes[at])) for at in kept]) / cost(terms, full)
        for terms in (backbone.macs, known.tables)
    )
    scaled = share * np.median(ratio / share)
    errors = dict(zip(_NAMES, (told / ratio, share / ratio, scaled / ratio, np.array(both)), strict=True))
    return {
        "backend": spec.backend,
        "batch": spec.batch,
        "networks": known.networks,
        "repeated": known.repeated,
        "seconds": known.seconds,
        "own_error": [known.typical_error, known.large_error],
        "dense_ms": [1e3 * known.dense_seconds, 1e3 * timed.dense_seconds],
        "bias": float(np.median(told / ratio - 1)),
        "subnets": len(kept),
        "ratios": [float(each) for each in np.quantile(ratio, [0, 1])] if len(ratio) else [],
        **{name: _error(values) for name, values in errors.items()},
    }


def _error(values: np.ndarray) -> list[float]:
    off = np.abs(values - 1) if len(values) else np.array([np.nan])
    return [float(np.median(off)), float(np.quantile(off, 0.9))]


def _quiet(_: str) -> None:
    """Show nothing."""


if __name__ == "__main__":
    main()
