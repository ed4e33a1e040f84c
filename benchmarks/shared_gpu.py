"""Two trials side by side on half a GPU each, against one after the other on the whole of it.

    python -m benchmarks.shared_gpu [--gpus 0 --set KEY=VALUE ...]

Runs the digits sweep (two trials) by the command line twice. Ray's start is part of both. `--gpus 0`: CPUs instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = Path(__file__).parent.parent / "sweeps" / "digits.yaml"
SHORT = ("budgets=[0.5]", "trials=2", "dense.epochs=0", "search.epochs=30", "finetune.epochs=20")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of the sweep")
    args = parser.parse_args()
    whole, half = (
        f"{{cpus_per_worker: 1, gpus_per_worker: {args.gpus / part:g}, concurrent: {part}}}" for part in (1, 2)
    )
    pairs = [(seconds(whole, args.set), seconds(half, args.set)) for _ in range(args.rounds)]
    ratios = sorted(alone / together for alone, together in pairs)
    for alone, together in pairs:
        print(f"one after the other {alone:.1f} s, side by side {together:.1f} s: {alone / together:.2f} times as many")
    print(json.dumps({"benchmark": "shared_gpu", "gpus": args.gpus, "pairs": pairs, "ratio": ratios[len(ratios) // 2]}))


def seconds(resources: str, settings: list[str]) -> float:
    """Wall time of the sweep with these resources."""
    changes = [f"--set={text}" for text in (*SHORT, *settings, f"resources={resources}")]
    with tempfile.TemporaryDirectory() as storage:
        line = [sys.executable, "-m", "ofb_ray", "sweep", str(SWEEP), "--storage", storage, *changes]
        start = time.perf_counter()
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
