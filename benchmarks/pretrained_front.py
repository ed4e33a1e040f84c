"""What compression leaves of an ImageNet-trained ViT-Tiny on another data set, without training and with a little.

    python -m benchmarks.pretrained_front --weights FILE --data FOLDER [--work FOLDER --seeds 0 1 2 --jobs 2]

FILE: safetensors of vit_tiny_patch16_224, FOLDER: train/<class>/*, test/<class>/*. All methods start from the same
network, fine-tuned seed by seed. Without training: `preview` (search.epochs 0), it without each of its three parts,
and both rivals from Torch-Pruning. With N epochs in all: `preview` (all of them fine-tuning), `new` and `old` (recipes
calibrated and paper, half of them search), `taylor` and `magnitude`. Each cell of method and budget has the learning
rate that is best on held-out images: on the first seed, whose rate the others take, or on the mean of all.

Finished rows are kept in `--work`/rows.jsonl, and the next call with the same arguments goes on after them. Prints
means over seeds, test top-1 with its standard deviation, seconds of the processor (a dense network's calibration
counts in the row that made it), and last one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.front_jobs import METHODS, Job, Row, Setting, run_job, setting, untrained_methods


def main() -> None:
    args = _arguments()
    common = setting(
        args.weights, args.data, args.image_size, args.train, args.test, args.dense_epochs, epochs=args.epochs
    )
    with contextlib.ExitStack() as stack:
        folder = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        spawn = get_context("spawn")
        pool = stack.enter_context(ProcessPoolExecutor(args.jobs, spawn, torch.set_num_threads, (1,)))
        rows = measure(common, args, Bench(Rows(folder / "rows.jsonl"), pool, folder))
    report(rows, args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="safetensors of vit_tiny_patch16_224")
    parser.add_argument("--data", type=Path, required=True, help="folder with train/<class>/* and test/<class>/*")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--train", type=int, default=5000, help="training images, a fifth of which are held out")
    parser.add_argument("--test", type=int, default=5000, help="test images")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-5, 1e-4, 3e-4])
    parser.add_argument("--choose-on", choices=["first", "all"], default="first", help="seeds that choose the rate")
    parser.add_argument("--dense-epochs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=16, help="after the dense network; 0: without training only")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--work", type=Path, help="keep dense networks, decoded images and finished rows here")
    return parser.parse_args()


class Rows:
    """Rows by the key of their job, kept in a file as they are finished."""

    def __init__(self, path: Path) -> None:
        self.path, self.known = path, dict[str, Row]()
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else ():
            # The last line of a killed call may be half a line.
            with contextlib.suppress(json.JSONDecodeError):
                row = json.loads(line)
                self.known[row["key"]] = row

    def add(self, row: Row) -> None:
        self.known[row["key"]] = row
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a") as file:
            file.write(("\n" if torn else "") + json.dumps(row) + "\n")


class Bench:
    """Runs jobs in a pool, those alone whose rows are not there yet."""

    def __init__(self, rows: Rows, pool: Executor, folder: Path) -> None:
        self.rows, self.pool, self.folder = rows, pool, folder

    def run(self, jobs: Sequence[Job]) -> list[Row]:
        """Return the jobs' rows. One that fails stops none of the others; its error is raised after them."""
        new = {self.pool.submit(run_job, job, self.folder): job for job in jobs if job.key not in self.rows.known}
        errors = []
        for future in as_completed(new):
            if (error := future.exception()) is not None:
                errors.append(error)
                continue
            self.rows.add(future.result())
            print(json.dumps(future.result()), flush=True)
            shutil.rmtree(self.folder / "trials" / new[future].spec.key, ignore_errors=True)
        if errors:
            raise errors[0]
        return [self.rows.known[job.key] for job in jobs]


def measure(common: Setting, args: argparse.Namespace, bench: Bench) -> list[Row]:
    """Rows of dense networks, of what is left without training, and of every method at its best learning rate."""
    seeds, budgets = args.seeds, args.budgets
    dense = [Job("dense", common.job("preview", budgets[0], seed).spec) for seed in seeds]
    # Jobs of one seed share its dense network, so they start after it is there.
    rows = bench.run(dense)
    untrained = untrained_methods(args.methods)
    rows += bench.run([common.job(name, budget, seed) for name in untrained for budget in budgets for seed in seeds])
    if not args.epochs:
        return rows
    cells = [(method, budget) for method in args.methods for budget in budgets]
    choosing = seeds if args.choose_on == "all" else seeds[:1]
    tried = bench.run([common.job(*cell, seed, rate) for seed in choosing for rate in args.rates for cell in cells])
    rate_of = {cell: best_rate([row for row in tried if cell_of(row) == cell]) for cell in cells}
    return rows + bench.run([common.job(*cell, seed, rate_of[cell]) for seed in seeds for cell in cells])


def cell_of(row: Row) -> tuple[str, float]:
    """Method and budget."""
    return row["method"], row["budget"]


def best_rate(rows: Sequence[Row]) -> float:
    """The learning rate with the best mean of held-out top-1 among the rows of one method and budget."""
    rates: list[float] = list(dict.fromkeys(row["rate"] for row in rows))
    return max(rates, key=lambda rate: statistics.mean(row["val"] for row in rows if row["rate"] == rate))


def report(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Print a line for each method, budget and rate, then one JSON line."""
    print(f"\n{'method':<16} {'budget':>6} {'rate':>9} {'held-out':>8} {'test top-1':>15} {'MACs':>6} {'seconds':>7}")
    cells: list[dict[str, Any]] = []
    for method, budget, rate in dict.fromkeys((*cell_of(row), row["rate"]) for row in rows):
        same = [row for row in rows if (*cell_of(row), row["rate"]) == (method, budget, rate)]
        test = [row["test"] for row in same]
        val, macs, seconds = (statistics.mean(row[name] for row in same) for name in ("val", "macs", "seconds"))
        deviation = statistics.stdev(test) if len(test) > 1 else None
        shown = f"{statistics.mean(test):.2f}" + (f" +- {deviation:.2f}" if deviation is not None else "")
        shown_rate = "untrained" if rate is None and method != "dense" else f"{rate:g}" if rate else ""
        print(f"{method:<16} {budget:>6g} {shown_rate:>9} {val:>8.2f} {shown:>15} {macs:>6.4f} {seconds:>7.0f}")
        cells.append(
            {
                "method": method,
                "budget": budget,
                "rate": rate,
                "val": val,
                "test": test,
                "mean": statistics.mean(test),
                "deviation": deviation,
                "macs": macs,
                "seconds": seconds,
            }
        )
    names = ("image_size", "train", "test", "dense_epochs", "epochs", "seeds", "choose_on")
    print(
        json.dumps({"benchmark": "pretrained_front", **{name: getattr(args, name) for name in names}, "cells": cells})
    )


if __name__ == "__main__":
    main()
