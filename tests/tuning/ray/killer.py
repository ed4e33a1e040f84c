"""The real trial function, with a worker that dies once: by SIGKILL, after the search has a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from ofb_ray.results.files import STATE_FILE
from ofb_ray.results.records import Record
from ofb_ray.train.team import current_team
from ofb_ray.trial.run import run_trial as real


def run_trial(spec: Any, report: Any, workdir: Path, **others: Any) -> Record:
    """`ofb_ray.trial.run.run_trial`; in sweep "killed" rank 1 kills itself the first time."""
    marker = workdir / "killed"
    if others["sweep"] == "killed" and current_team().rank == 1 and not marker.exists():
        threading.Thread(target=_die_after_checkpoint, args=(workdir / STATE_FILE, marker), daemon=True).start()
    return real(spec, report, workdir, **others)


def _die_after_checkpoint(checkpoint: Path, marker: Path) -> None:
    while not checkpoint.exists():
        time.sleep(0.005)
    marker.write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)
