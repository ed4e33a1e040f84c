"""Name the command of Optuna's dashboard where it is installed."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ofb_ray.results.files import JOURNAL_FILE

PROGRAM = "optuna-dashboard"


def dashboard_command(folders: Sequence[Path]) -> str:
    """Write the command that shows the study of the first folder that has one; empty where there is none."""
    studies = [folder / JOURNAL_FILE for folder in folders if (folder / JOURNAL_FILE).is_file()]
    beside = Path(sys.executable).with_name(PROGRAM)  # of an environment that is not on the PATH
    program = PROGRAM if shutil.which(PROGRAM) else str(beside) if beside.is_file() else ""
    return shlex.join([program, str(studies[0])]) if program and studies else ""
