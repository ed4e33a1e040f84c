"""Make one table of results: a row a trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.trials.read import read
from analysis.trials.trial import Results, Trial

COLUMNS = ["trial", "status", "budget", "target_macs", "macs", "params", "top1_val", "top1_test", "seed", "on_front"]
INTEGERS = ("target_macs", "macs", "params", "seed")


def frame(folders: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Make `table` of one results folder, or of several; see `read`.

    Raises:
        InputError: a folder does not exist or is no results folder.
    """
    return table(read(folders))


def table(results: Results) -> pd.DataFrame:
    """Make one row a trial: the columns of `COLUMNS`, the explored parameters by dotted key, then `used` and `reason`.

    `macs`, `params` and the accuracies (percentages) are the subnet's; `target_macs` is empty where the budget limits
    parameters; `used` is cost / target.
    """
    explored = list(dict.fromkeys(key for trial in results.trials for key in trial.explored or {}))
    rows = [_row(trial, on_front) for trial, on_front in zip(results.trials, results.on_front, strict=True)]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *explored, "used", "reason"])
    integers = {column: pd.array(frame[column].tolist(), dtype="Int64") for column in INTEGERS}
    return frame.assign(**integers)


def _row(trial: Trial, on_front: bool) -> dict[str, Any]:
    subnet, budget = (trial.record.subnet, trial.record.budget) if trial.record else (None, None)
    explored = {key: _cell(value) for key, value in (trial.explored or {}).items()}
    return {
        "trial": trial.name,
        "status": trial.status,
        "budget": trial.budget,
        "target_macs": budget.target if budget and budget.resource == "macs" else None,
        "macs": subnet.macs if subnet else None,
        "params": subnet.params if subnet else None,
        "top1_val": subnet.top1_val if subnet else None,
        "top1_test": subnet.top1_test if subnet else None,
        "seed": trial.seed,
        "on_front": on_front,
        "used": budget.used if budget else None,
        "reason": trial.reason,
    } | explored


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
