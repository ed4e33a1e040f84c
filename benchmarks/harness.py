"""What the harness costs: trials that only report, against plain Ray Tune, and its share of the digits sweep.

    python -m benchmarks.harness [--trials 300 --rounds 1 --samplers random gp --digits 1 --fresh 20]

Each side runs in a process of its own, in turns. `ofb_ray` is a sweep as users get it: a journal, a folder and a record
for each trial on the disk, crash-safe, TensorBoard on. `tune` is Ray Tune with its stock OptunaSearch: the same space,
objectives and sampler class, but in memory, without loggers and without the budget's constraint (it cannot see one).
Both reuse their processes, two trials at a time; `--fresh N` times N trials with a new process each.

The harness' share of the digits sweep: from the start of the command to its end, less the time that its trials need
when their durations, from the call of the trial function to its return, are packed gaplessly on the two slots in the
same order. So it holds imports, Ray's start and end, suggestions, gaps and the analysis, but not what a trial itself
spends on checkpoints or on waiting for the dense network, nor by how much a busy driver slows the trials.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import subprocess
import sys
import time
from typing import Any

SLOTS = 2
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--samplers", nargs="*", default=["random", "gp"], choices=["random", "tpe", "gp"])
    parser.add_argument("--digits", type=int, default=1, help="runs of the digits sweep")
    parser.add_argument("--fresh", type=int, default=20, help="trials with a new process each; 0: none")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of the digits sweep")
    args = parser.parse_args()
    rows = [row for sampler in args.samplers for row in compare(args.trials, args.rounds, sampler)]
    if args.fresh:
        rows += compare(args.fresh, args.rounds, "random", reuse=0)
    heads = f"{'side':8} {'sampler':8} {'trials':>6} {'reuse':>5}"
    print(f"{heads}  {'wall s':>7} {'s/trial':>7} {'last s':>7} {'MiB':>6} Ray s")
    for row in rows:
        times = f"{row['seconds']:7.1f} {row['per_trial']:7.3f} {row['last']:7.3f} {row['driver_mib']:6.0f}"
        print(f"{row['side']:8} {row['sampler']:8} {row['trials']:6} {row['reuse']:5}  {times} {row['ray_start']:5.1f}")
    ratios = [
        {"sampler": ours["sampler"], "reuse": ours["reuse"], **{key: ours[key] / plain[key] for key in _COMPARED}}
        for ours, plain in zip(rows[::2], rows[1::2], strict=True)
    ]
    for ratio in ratios:
        print(f"ofb_ray over tune, {ratio['sampler']}: " + ", ".join(f"{key} {ratio[key]:.2f}" for key in _COMPARED))
    shares = [share(args.set) for _ in range(args.digits)]
    for found in shares:
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["parts"].items())
        print(f"digits: {found['wall']:.1f} s, harness {found['harness']:.1f} s, {100 * found['share']:.1f} %: {parts}")
    print(json.dumps({"benchmark": "harness", "rows": rows, "ratios": ratios, "digits": shares}))


_COMPARED = ("seconds", "per_trial", "driver_mib")


def compare(trials: int, rounds: int, sampler: str, reuse: int = 1) -> list[Row]:
    """Ours and plain Tune in turns; each round is a pair, ours first."""
    found = []
    for _ in range(rounds):
        for side in ("ofb_ray", "tune"):
            options = ["--trials", str(trials), "--sampler", sampler, "--reuse", str(reuse)]
            raw = _run(side, *options)
            assert raw["finished"] == trials, raw
            steady = raw["seconds"] - raw["ray_start"]
            found.append(
                {
                    "side": side,
                    "sampler": sampler,
                    "trials": trials,
                    "reuse": reuse,
                    "seconds": raw["seconds"],
                    "per_trial": steady / trials,
                    "suggesting": sum(raw["suggestions"]),
                    "last": statistics.mean(raw["suggestions"][-10:]),
                    "driver_mib": raw["driver_mib"],
                    "cpu_seconds": raw["cpu_seconds"],
                    "ray_start": raw["ray_start"],
                }
            )
    return found


def share(settings: list[str]) -> Row:
    """The digits sweep: wall seconds, the harness' seconds and share, and their parts; see above."""
    begin = time.time()
    raw = _run("digits", *(f"--set={text}" for text in settings))
    end = time.time()
    trials = sorted(raw["trials"], key=lambda trial: float(trial["begin"]))
    first, last = trials[0], max(trial["end"] for trial in trials)
    harness = end - begin - packed([trial["end"] - trial["begin"] for trial in trials])
    called = min(trial["called"] for trial in trials)
    parts = {
        "start and imports": raw["ray_begin"] - begin,
        "Ray": raw["ray_start"],
        "first process": called - raw["ray_begin"] - raw["ray_start"],
        "its imports": first["begin"] - called,
        "suggestions": sum(raw["suggestions"]) / SLOTS,
        "end": end - last - raw["finish"],
        "analysis": raw["finish"],
    }
    parts["gaps and packing"] = harness - sum(parts.values())
    sizes = {key: max(trial[key] for trial in trials) for key in ("largest_bytes", "left_bytes", "peak_mib")}
    return {"wall": end - begin, "harness": harness, "share": harness / (end - begin), "parts": parts, **sizes}


def packed(durations: list[float]) -> float:
    """The time that trials of these durations need on the slots, each in turn on the one that is free first."""
    free = [0.0] * SLOTS
    for seconds in durations:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def _run(*arguments: str) -> Row:
    line = [sys.executable, "-m", "benchmarks.harness_sides", *arguments]
    done = subprocess.run(line, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    tree: Row = json.loads(done.stdout.splitlines()[-1])
    return tree


if __name__ == "__main__":
    main()
