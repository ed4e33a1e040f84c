"""A front by one chain of budgets against one search a budget: seconds of search, accuracies, hypervolume.

    python -m benchmarks.chain_front scenes
    python -m benchmarks.chain_front cifar10_vit_tiny --set data.root=FOLDER --set model.weights=FILE ...

Takes a sweep file with `chain`, and its own values alone: nothing is explored. Chain and separate searches start from
the same dense network seed by seed, and fine-tune alike. Each seed's two ways run one after the other in a process of
one thread; `search` are the seconds of that process's processor that search and calibration take. Finished rows are
kept in `--work`/rows.jsonl. Prints a line for each budget and way, the ratio of search seconds, the difference of the
hypervolumes seed by seed with its 95 % t interval, and last one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from analysis.fronts.seeds import spread
from benchmarks.pretrained_front import Rows
from ofb_ray.config import Json, SweepSpec, TrialSpec
from ofb_ray.config.load import load_sweep
from ofb_ray.results.ranking import hypervolume
from ofb_ray.trial.run import run_trial

WAYS = ("chain", "separate")


def main() -> None:
    args = _arguments()
    spec = load_sweep(args.sweep, args.set)
    if spec.chain is None:
        raise SystemExit(f"{args.sweep} has no `chain`")
    with contextlib.ExitStack() as stack:
        folder = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        spawn = get_context("spawn")
        pool = stack.enter_context(ProcessPoolExecutor(args.jobs, spawn, torch.set_num_threads, (1,)))
        rows = Rows(folder / "rows.jsonl")
        for found in pool.map(measure, [(spec, seed, folder, dict(rows.known)) for seed in args.seeds]):
            for row in found:
                if row["key"] not in rows.known:
                    rows.add(row)
        wanted = {(row["way"], row["seed"], row["budget"]): row for row in rows.known.values()}
    report([row for row in wanted.values() if row["seed"] in args.seeds], spec)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", help="file or shipped sweep with `chain`")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the sweep")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--work", type=Path, help="keep dense networks, decoded images and finished rows here")
    return parser.parse_args()


def measure(job: tuple[SweepSpec, int, Path, dict[str, Any]]) -> list[dict[str, Any]]:
    """Run a seed's chain, then its separate searches."""
    spec, seed, folder, known = job
    rows = []
    for way in WAYS:
        sweep = spec if way == "chain" else spec.model_copy(update={"chain": None})
        for budget in spec.budgets:
            trial = sweep.trial({"budget": budget, "seed": seed}, {})
            key = f"{way} {trial.key}"
            rows.append(known.get(key) or {"key": key, "way": way, **_row(trial, way, folder)})
    return rows


def _row(spec: TrialSpec, way: str, folder: Path) -> Json:
    # Searches of their own are not to find the chain's first one.
    shared, at, seconds = folder / "shared", time.process_time(), {"dense": 0.0, "search": 0.0, "finetune": 0.0}

    def report(row: dict[str, Any]) -> None:
        nonlocal at
        now = time.process_time()
        if row["phase"] in seconds:
            seconds[row["phase"]] += now - at
        at = now

    record = run_trial(spec, report, folder / "trials" / f"{way}-{spec.key}", shared=shared, keep_search=way == "chain")
    assert record.subnet is not None, record.reason
    assert record.dense is not None
    network = {"val": record.subnet.top1_val, "test": record.subnet.top1_test}
    dense = {"dense_val": record.dense.top1_val, "dense_test": record.dense.top1_test}
    macs = record.subnet.macs / record.dense.macs
    return {"seed": spec.seed, "budget": spec.budget.label, "macs": macs, **network, **dense, "seconds": seconds}


def report(rows: list[dict[str, Any]], spec: SweepSpec) -> None:
    """Print a line for each budget and way, the ratio, the difference, then one JSON line."""
    print(f"\n{'budget':>8} {'way':<9} {'MACs':>6} {'held-out':>15} {'test':>15}")
    for budget in spec.budgets:
        for way in WAYS:
            same = [row for row in rows if (row["way"], row["budget"]) == (way, budget.label)]
            macs = statistics.mean(row["macs"] for row in same)
            print(f"{budget.label:>8} {way:<9} {macs:>6.3f} {_spread(same, 'val'):>15} {_spread(same, 'test'):>15}")
    dense = list({row["seed"]: row for row in rows}.values())
    print(f"{'dense':>8} {'':<9} {1:>6.3f} {_spread(dense, 'dense_val'):>15} {_spread(dense, 'dense_test'):>15}")
    volumes = {split: _volumes(rows, split) for split in ("val", "test")}
    seconds = {way: sum(row["seconds"]["search"] for row in rows if row["way"] == way) for way in WAYS}
    seeds = sorted({row["seed"] for row in rows})
    first = sum(
        row["seconds"]["search"] for row in rows if (row["way"], row["budget"]) == ("chain", spec.budgets[0].label)
    )
    one = first / len(seeds)
    print(
        f"search, seconds of the processor a seed: chain {seconds['chain'] / len(seeds):.0f}, separate "
        f"{seconds['separate'] / len(seeds):.0f}, ratio {seconds['chain'] / seconds['separate']:.2f}; the chain takes "
        f"{seconds['chain'] / len(seeds) / one:.2f} of its first search"
    )
    for split, by_way in volumes.items():
        print(f"hypervolume ({split}), chain - separate: {_difference(by_way)}")
    facts = {"benchmark": "chain_front", "sweep": spec.name, "seeds": seeds, "seconds": seconds, "one_search": one}
    print(json.dumps({**facts, "hypervolume": volumes, "rows": rows}))


def _volumes(rows: list[dict[str, Any]], split: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for way, seed in sorted({(row["way"], row["seed"]) for row in rows}):
        same = [row for row in rows if (row["way"], row["seed"]) == (way, seed)]
        found[way].append(hypervolume([(row[split] / 100, row["macs"]) for row in same], (0.0, 1.0)))
    return found


def _difference(by_way: dict[str, list[float]]) -> str:
    over = spread([chain - separate for chain, separate in zip(by_way["chain"], by_way["separate"], strict=True)])
    assert over is not None
    half = f" +- {over.interval:.4f}" if over.interval is not None else ""
    return f"{over.mean:+.4f}{half} (chain {statistics.mean(by_way['chain']):.4f}, {over.n} seeds)"


def _spread(rows: list[dict[str, Any]], name: str) -> str:
    over = spread([row[name] for row in rows])
    assert over is not None
    return f"{over.mean:.2f}" + (f" +- {over.deviation:.2f}" if over.deviation is not None else "")


if __name__ == "__main__":
    main()
