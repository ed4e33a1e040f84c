"""Two processes that want one lease at nearly the same moment: does exactly one get it?

    python -m benchmarks.leases                            a folder (file://)
    python -m benchmarks.leases --uri s3://bucket/prefix   a store, reached by the environment's credentials
    python -m benchmarks.leases --pairs 17                 pairs for each offset and each state before

Before each pair the lease is fresh (nobody had it), released, or stale (its holder is gone). Prints for each state and
offset how often one, both or neither got it, and the seconds to the answer; then one JSON line. Exit code 1: a lease
was had twice, or by nobody.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
import uuid
from multiprocessing.connection import Connection
from typing import Any

from ofb_ray.results.lease import Lease
from ofb_ray.results.store import Remote

OFFSETS_MS = (0, 1, 5, 50)
BEFORE = {"fresh": b"", "released": b'{"id": ""}', "stale": b'{"id": "gone", "host": "elsewhere", "pid": 1}'}
SECONDS = 1.0


def contender(pipe: Connection, uri: str) -> None:
    """Try the leases that are asked for, each at its moment; hold one until told to let go."""
    remote = Remote(uri)
    remote.list()
    while (order := pipe.recv()) is not None:
        name, moment = order
        lease = Lease(remote, name, seconds=SECONDS)
        time.sleep(max(0.0, moment - time.time()))
        start = time.monotonic()
        got = lease.acquire()
        pipe.send((got, time.monotonic() - start))
        pipe.recv()  # both have answered
        pipe.send(got and lease.mine() and not lease.lost.is_set())
        lease.release()


def pair(pipes: list[Connection], remote: Remote, before: bytes, offset_ms: float) -> tuple[int, float]:
    """Return how many of two got a lease and still had it when both had answered, and the slower one's seconds."""
    name = f"{uuid.uuid4().hex}.json"
    if before:
        remote.write(name, before)
    moment = time.time() + 0.05
    for pipe, delay in zip(pipes, (0.0, offset_ms / 1000), strict=True):
        pipe.send((name, moment + delay))
    answers = [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send(None)
    holding = [pipe.recv() for pipe in pipes]
    assert [got for got, _ in answers] == holding or sum(got for got, _ in answers) > 1
    return sum(got for got, _ in answers), max(seconds for _, seconds in answers)


def measure(uri: str, pairs: int) -> list[dict[str, Any]]:
    """Try all states and offsets, `pairs` times each."""
    remote = Remote(uri)
    context = multiprocessing.get_context("spawn")
    ends = [context.Pipe() for _ in range(2)]
    processes = [context.Process(target=contender, args=(theirs, uri), daemon=True) for _, theirs in ends]
    for process in processes:
        process.start()
    pipes = [ours for ours, _ in ends]
    rows = []
    for state, before in BEFORE.items():
        for offset in OFFSETS_MS:
            found = [pair(pipes, remote, before, offset) for _ in range(pairs)]
            counts = [sum(held == count for held, _ in found) for count in (0, 1, 2)]
            seconds = statistics.median(taken for _, taken in found)
            rows.append({"state": state, "offset_ms": offset, "none": counts[0], "one": counts[1], "both": counts[2]})
            told = f"one {counts[1]:>4}   both {counts[2]}   none {counts[0]}"
            print(f"{state:>9} {offset:>4} ms   {told}   {seconds:.2f} s")
            rows[-1]["median_seconds"] = seconds
    for pipe in pipes:
        pipe.send(None)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uri", default="")
    parser.add_argument("--pairs", type=int, default=17)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(args.uri or f"file://{folder}", args.pairs)
    bad = sum(row["none"] + row["both"] for row in rows)
    kind = (args.uri or "file://").partition("://")[0]
    print(json.dumps({"benchmark": "leases", "store": kind, "pairs": args.pairs * len(rows), "bad": bad, "rows": rows}))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
