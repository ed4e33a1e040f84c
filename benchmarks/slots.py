"""How busy were the slots of a finished sweep between its first and last trial?

    python -m benchmarks.slots RESULTS --slots 2

A trial takes its slot from the moment its trial.json is written to that of its record.json. Prints one JSON line with
the share of the slots' time in which no trial ran, from the first trial.json to the last record.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ofb_ray.results.files import RECORD_FILE, TRIAL_FILE, trial_folders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results folder of a sweep that ran in one launch")
    parser.add_argument("--slots", type=int, default=2, help="trials at a time")
    args = parser.parse_args()
    spans = [
        tuple((folder / name).stat().st_mtime for name in (TRIAL_FILE, RECORD_FILE))
        for folder in trial_folders(args.results)
    ]
    start, end = min(begun for begun, _ in spans), max(ended for _, ended in spans)
    busy, whole = sum(ended - begun for begun, ended in spans), args.slots * (end - start)
    print(json.dumps({"benchmark": "slots", "trials": len(spans), "seconds": end - start, "idle": 1 - busy / whole}))


if __name__ == "__main__":
    main()
