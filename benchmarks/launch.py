"""What somebody sees who starts a sweep: seconds to the first line, to the first epoch, the longest silence, the end.

    python -m benchmarks.launch [--sweep sweeps/scenes.yaml --rounds 5 --whole] [--set KEY=VALUE ...]

The command runs in a pipe and on a terminal of its own, in turns. `first line`, `first epoch` (the first history row
that is on the disk, in progress.json) and `silence`, the longest time in which nothing new appeared, are seconds;
a terminal's spinner and clocks count as new. `end` is from the last record to the end of the output, `exit` to that of
the process. Without `--whole` the sweep has two budgets, one trial each, and two epochs a phase. Needs idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ofb_ray.results.files import PROGRESS_FILE, RECORD_FILE

SHORT = ("budgets=[0.5, 0.3]", "trials=1", "seeds=[0]", "dense.epochs=2", "search.epochs=2", "finetune.epochs=2")
_POLL_SECONDS = 0.05
Seen = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", default="sweeps/scenes.yaml")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--whole", action="store_true", help="the sweep as it stands")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of the sweep")
    args = parser.parse_args()
    settings = [*(() if args.whole else SHORT), *args.set]
    rows: dict[str, list[Seen]] = {"pipe": [], "terminal": []}
    for _ in range(args.rounds):
        for kind, seen in rows.items():
            seen.append(launch(args.sweep, settings, terminal=kind == "terminal"))
    medians = {
        kind: {key: statistics.median(row[key] for row in seen) for key in seen[0]} for kind, seen in rows.items()
    }
    for kind, found in medians.items():
        print(f"{kind:8}  " + ", ".join(f"{key} {value:.2f} s" for key, value in found.items()))
    print(json.dumps({"benchmark": "launch", "rounds": args.rounds, "medians": medians, "rows": rows}))


def launch(sweep: str, settings: list[str], *, terminal: bool) -> Seen:
    """Run a sweep in a folder of its own and note when something new appears."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "ofb_ray", "sweep", sweep, "--storage", folder]
        line += [part for text in settings for part in ("--set", text)]
        reader, writer = pty.openpty() if terminal else os.pipe()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
        begin = time.monotonic()
        process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.STDOUT, env=environment
        )
        os.close(writer)
        times, first_epoch, record = _watch(reader, Path(folder))
        if process.wait():
            raise RuntimeError(f"{' '.join(line)} ended with {process.returncode}")
        over = time.monotonic()
    gaps = [later - earlier for earlier, later in zip([begin, *times], times, strict=False)]
    return {
        "first line": times[0] - begin,
        "first epoch": first_epoch - begin,
        "silence": max(gaps),
        "silence at": times[gaps.index(max(gaps))] - max(gaps) - begin,
        "end": times[-1] - record,
        "exit": over - record,
        "all": over - begin,
    }


def _watch(reader: int, folder: Path) -> tuple[list[float], float, float]:
    """Read until the output ends; returns when something came, when the first epoch was done, and the last record."""
    times, first_epoch, record = list[float](), 0.0, 0.0
    records: set[Path] = set()
    while True:
        if select.select([reader], [], [], _POLL_SECONDS)[0]:
            try:
                got = os.read(reader, 65_536)
            except OSError:  # how a terminal says that nobody writes to it any more
                got = b""
            if not got:
                os.close(reader)
                return times, first_epoch, record
            times.append(time.monotonic())
        if not first_epoch and any(_epochs(path) for path in folder.glob(f"*/*/{PROGRESS_FILE}")):
            first_epoch = time.monotonic()
        if found := set(folder.glob(f"*/*/{RECORD_FILE}")) - records:
            records |= found
            record = time.monotonic()


def _epochs(path: Path) -> int:
    try:
        return int(json.loads(path.read_text()).get("epoch") or 0)
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    main()
