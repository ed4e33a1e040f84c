"""The Slurm script for real, on loopback: `srun` and `scontrol` are stubs, Ray and the sweep are not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.nodes import ROOT, free_port, kill_session, session_of, wait_for
from tests.cluster.test_two_nodes import SWEEP, check_complete, epochs
from tests.tuning.fake import EPOCH_SECONDS
from tests.tuning.test_launch import finished

STUBS = {
    "srun": 'while [[ $1 == --* ]]; do shift; done\necho "$@" >> "$STUBS/started"\nexec "$@"',
    "scontrol": 'if [[ $1 == show ]]; then printf "one\\ntwo\\n"; else echo "$@" >> "$STUBS/asked"; fi',
    "ofb-ray": f'exec {sys.executable} -m ofb_ray "$@" --trial-function tests.tuning.fake:run_trial',
}


def start(tmp_path: Path, epoch_seconds: float) -> subprocess.Popen[str]:
    stubs = tmp_path / "stubs"
    stubs.mkdir(exist_ok=True)
    for name, text in STUBS.items():
        (stubs / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (stubs / name).chmod(0o755)
    (tmp_path / "s.yaml").write_text(json.dumps(SWEEP))
    environment = {
        **os.environ,
        "PATH": f"{stubs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "STUBS": str(stubs),
        "SLURM_JOB_ID": str(free_port() % 127),  # the script's ports follow from it
        "SLURM_JOB_NODELIST": "[one-two]",
        "SLURM_CPUS_PER_TASK": "1",
        EPOCH_SECONDS: str(epoch_seconds),
    }
    line = ["bash", str(ROOT / "sweeps" / "cluster" / "slurm.sh"), "s.yaml", "--storage", str(tmp_path / "results")]
    output = (tmp_path / "slurm.log").open("a")
    return subprocess.Popen(
        line, cwd=tmp_path, env=environment, text=True, stdout=output, stderr=output, start_new_session=True
    )


def finish(tmp_path: Path, process: subprocess.Popen[str], until: Callable[[], bool], number: int = 0) -> int:
    """The exit code of the script, which gets signal `number` once `until` holds; nothing of it is left behind."""
    try:
        wait_for(lambda: until() or process.poll() is not None, 90, "the sweep did not get that far")
        if number:
            process.send_signal(number)
        code = process.wait(timeout=90)
        left = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        wait_for(lambda: not any(session_of(int(name)) == process.pid for name in left), 30, "processes stay behind")
        return code
    finally:
        kill_session(process.pid)


@pytest.mark.slow
def test_a_job_that_nears_its_limit_is_queued_again_and_goes_on(tmp_path: Path) -> None:
    results, log = tmp_path / "results" / "s", tmp_path / "slurm.log"

    def under_way() -> bool:
        return len(epochs(results, 0)) >= 2 and len(epochs(results, 1)) >= 2

    code = finish(tmp_path, start(tmp_path, 1.0), under_way, signal.SIGTERM)
    assert code == 1, log.read_text()
    assert "interrupted; to go on: ofb-ray sweep" in log.read_text()
    assert finished(results) == 0
    asked = tmp_path / "stubs" / "asked"
    assert asked.read_text().startswith("requeue ")

    asked.unlink()
    code = finish(tmp_path, start(tmp_path, 0.02), lambda: finished(results) == 4)
    assert code == 0, log.read_text()
    check_complete(results)
    assert not asked.exists()
    started = (tmp_path / "stubs" / "started").read_text().splitlines()
    assert sum("start --head" in line for line in started) == 2
    assert sum("start --address" in line for line in started) == 2
