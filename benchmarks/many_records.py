"""`python -m benchmarks.many_records [--records 2000]`: wall time and memory of the analysis of a large sweep.

The records are made up, as large as those of the digits sweep (110 epochs of history, 40 cuts).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ofb_ray.results.files import RECORD_FILE, trial_folder
from ofb_ray.results.records import BudgetOutcome, Network, Record

DENSE = Network(macs=1_000_000, params=202_186, top1_val=98.6, top5_val=100.0, top1_test=98.3, top5_test=99.9)
BUDGETS = (0.25, 0.5, 0.75)
PHASES = (("dense", 60), ("search", 30), ("finetune", 20))
BLOCKS = 4
FULL = {"embed": [1, 64]} | {
    f"blocks.{block}.{kind}": size for block in range(BLOCKS) for kind, size in (("attn", [4, 16]), ("mlp", [1, 256]))
}
LIMITS = {"seconds": 20.0, "gigabytes": 1.0, "report_megabytes": 5.0}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_records", description=__doc__)
    parser.add_argument("--records", type=int, default=2000)
    count = parser.parse_args().records
    figures: dict[str, Any] = {"records": count, "limits": LIMITS}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "many"
        size = make(folder, count)
        print(f"{count} records, {size / 1e6:.0f} MB of JSON")
        print(f"{'command':10} {'wall s':>8} {'CPU s':>8} {'peak GB':>8}")
        for name in ("pareto", "report"):
            figures[name] = measure([sys.executable, "-m", f"analysis.{name}", str(folder)])
            row = figures[name]
            print(f"{name:10} {row['seconds']:8.1f} {row['cpu_seconds']:8.1f} {row['gigabytes']:8.2f}")
        figures["report_megabytes"] = round((folder / "analysis" / "report.html").stat().st_size / 1e6, 2)
        print(f"report.html: {figures['report_megabytes']} MB")
    print(json.dumps(figures))


def make(folder: Path, count: int) -> int:
    """Write the results folder; return the bytes of its records."""
    chance, size = random.Random(0), 0
    folder.mkdir()
    (folder / "sweep.yaml").write_text("name: many\nquestion: How long does the analysis of many trials take?\n")
    for number in range(count):
        data = record(number, chance).model_dump_json(indent=1).encode()
        trial = trial_folder(folder, number)
        trial.mkdir()
        (trial / RECORD_FILE).write_bytes(data)
        size += len(data)
    return size


def record(number: int, chance: random.Random) -> Record:
    """Make a finished trial; one in fifty has failed."""
    ratio = BUDGETS[number % len(BUDGETS)]
    target = int(ratio * DENSE.macs)
    macs, lost = int(target * chance.uniform(0.98, 1)), number % 50 == 7
    top1 = round(98.6 - chance.expovariate(1) - 2 * (1 - ratio), 4)
    subnet = Network(macs=macs, params=int(ratio * DENSE.params), top1_val=top1, top1_test=top1 - 0.3)
    return Record(
        trial=number,
        sweep="many",
        key=f"{number:016x}",
        status="failed" if lost else "finished",
        reason="the loss is not finite (search, epoch 3)" if lost else "",
        spec=spec(ratio),
        params_explored={"search.one_hot_weight": chance.uniform(0.1, 2), "search.alpha_travel": chance.uniform(2, 12)},
        seed=0,
        budget=BudgetOutcome(label=f"{ratio:g}", resource="macs", target=target, used=macs / target, minimum=106_368),
        dense=DENSE,
        subnet=None if lost else subnet,
        arch=None if lost else arch(chance),
        seconds={"dense": 18.7, "search": chance.uniform(10, 15), "finetune": chance.uniform(4, 6)},
        history=[row(phase, epoch, chance) for phase, epochs in PHASES for epoch in range(1, epochs + 1)],
        events=[event(number, chance) for number in range(40)],
        environment={"torch": "2.14.1", "device": "cpu", "val_images": 216},
        finished=f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}+00:00",
    )


def spec(ratio: float) -> dict[str, Any]:
    """Make what the analysis reads of a spec."""
    search = {"epochs": 30, "mask_warmup": 0.2, "lambda_start": 0.99, "lambda_end": 0.1}
    model, data = {"name": "vit_tiny_patch16_224", "args": {}}, {"name": "digits"}
    return {"model": model, "data": data, "search": search, "budget": {"macs_ratio": ratio}}


def arch(chance: random.Random) -> dict[str, Any]:
    """Choose the widths of a ViT of four blocks."""
    widths: dict[str, Any] = {"embed": {"heads": 1, "width": 2 * chance.randint(16, 32)}}
    for block in range(BLOCKS):
        widths[f"blocks.{block}.attn"] = {"heads": chance.choice((2, 4)), "width": chance.choice((8, 12, 16))}
        widths[f"blocks.{block}.mlp"] = {"heads": 1, "width": chance.choice((64, 128, 192))}
    return {"format": 1, "model": {"name": "vit_tiny_patch16_224", "args": {}}, "widths": widths}


def row(phase: str, epoch: int, chance: random.Random) -> dict[str, Any]:
    """Make one epoch of history, as long as a real one."""
    known: dict[str, Any] = {"phase": phase, "epoch": epoch, "loss": chance.random(), "top1_val": 98 * chance.random()}
    if phase == "search":
        known |= {name: chance.random() for name in ("one_hot_loss", "budget_loss", "reconstruction_loss")}
        known |= {"budget_weight": 5.0, "expected_macs": 500_000, "budget_used": 1.01, "undecided": 5}
        known |= {"current_macs": 700_000}
    return known


def event(number: int, chance: random.Random) -> dict[str, Any]:
    """Make one cut of each axis in turn."""
    axis, size = list(FULL.items())[number % len(FULL)]
    sizes = {"from": size, "to": [size[0], size[1] - 1], "living": 6, "decided": False}
    return {"epoch": 7 + number // 4, "axis": axis, **sizes, "output_gap": round(chance.random(), 6)}


def measure(command: list[str]) -> dict[str, float]:
    """Measure wall and CPU seconds of a command and its peak of resident memory in gigabytes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "gigabytes": round(usage.ru_maxrss * unit / 1e9, 3),
    }


if __name__ == "__main__":
    main()
