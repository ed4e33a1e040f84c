"""Two drivers of one sweep in a store, on machines of their own, that take it at the same moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ofb_ray.results.lease import LEASE_VARIABLE
from ofb_ray.results.locations import CACHE_VARIABLE
from tests.results.store import BUCKET, server
from tests.tuning.test_launch import command, epochs, known

# So many pairs; more by hand.
PAIRS = int(os.environ.get("OFB_RAY_DRIVER_PAIRS", "1"))
_DRIVER = """
import sys, time
from pathlib import Path
from ofb_ray.errors import InputError
from ofb_ray.tuning.execute import execute
from ofb_ray.tuning.prepare import prepare

launch = prepare("s.yaml", storage=sys.argv[1], function="tests.tuning.fake:run_trial")
Path(sys.argv[2]).touch()
while not Path("go").exists():
    pass
try:
    print("finished", not execute(launch).interrupted)
except InputError as error:
    print("refused", error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "file"])
def test_one_of_two_drivers_runs_and_the_other_is_refused(tmp_path: Path, kind: str) -> None:
    with server() as s3:
        for turn in range(PAIRS):
            folder = tmp_path / str(turn)
            folder.mkdir()
            command(folder, budgets=[0.5])
            told = drive_twice(folder, f"s3://{BUCKET}/{turn}" if kind == "s3" else f"file://{folder}/store", s3)
            assert sorted(line.split()[0] for line in told) == ["finished", "refused"], told
            assert any("another process drives the sweep" in line for line in told)
            trained = [entry for results in folder.glob("cache-*/*/work") for entry in epochs(results, 0)]
            assert sorted(epoch for _, epoch in trained) == [0, 1, 2, 3]


def drive_twice(folder: Path, uri: str, store: dict[str, str]) -> list[str]:
    """Return the last line of each of two drivers that were let go at once."""
    processes = []
    for name in ("one", "two"):
        environment = {**known(), **store, CACHE_VARIABLE: str(folder / f"cache-{name}"), LEASE_VARIABLE: "20"}
        line = [sys.executable, "-c", _DRIVER, uri, f"ready-{name}"]
        processes.append(subprocess.Popen(line, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True))
    end = time.monotonic() + 120
    while not all((folder / f"ready-{name}").exists() for name in ("one", "two")):
        assert time.monotonic() < end, "a driver did not get ready"
        time.sleep(0.01)
    (folder / "go").touch()
    return [process.communicate(timeout=240)[0].splitlines()[-1] for process in processes]
