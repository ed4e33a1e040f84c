"""`python -m analysis.gate RESULTS...`: whether a gate's early accuracy tells the final one, and what gates save.

Of a sweep with a gate: the rank correlation between gate and end, and the seconds saved. Of one without: its recorded
curves, played again with several gates, in the order of the trials and in random orders.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.gates.agreement import agreement, pairs, saved
from analysis.gates.replay import Curve, Rule, curves, spread
from analysis.output.command import answer
from analysis.output.files import save
from analysis.trials.read import read
from analysis.trials.sweep_file import read_sweep_file
from analysis.trials.trial import Results
from ofb_ray.errors import InputError
from ofb_ray.inputs import Parser
from ofb_ray.results.store import readable

EPOCHS, KEEP = (1, 2, 3, 5, 10), (0.25, 0.5, 0.75)


def summary(location: str | Path) -> list[str]:
    """Say in two lines what the gate of a sweep did, in none where it has no gate."""
    epochs = read_sweep_file(readable(location)).gate_epochs
    if epochs is None:
        return []
    trials = curves(read([location]))
    return [_saved_line(trials), agreement(list(pairs(trials, epochs).values())).sentence]


def _saved_line(trials: Sequence[Curve]) -> str:
    count, seconds, taken = saved(trials)
    share = 100 * seconds / (seconds + taken) if seconds + taken else 0.0
    return (
        f"The gate stopped {count} of {len(trials)} trials and saved about {seconds:,.0f} trial-seconds of search and "
        f"fine-tuning ({share:.0f} % of what all would have taken)."
    )


def analyse(results: Results, epochs: Sequence[int], keep: Sequence[float], arguments: argparse.Namespace) -> str:
    """Write the report as text, its last line JSON.

    Raises:
        InputError: no trial has been fine-tuned for more epochs than a gate asks for, or --out cannot be written.
    """
    gates = {folder: read_sweep_file(folder).gate_epochs for folder in results.folders}
    trials = curves(results)
    own = [epochs for epochs in gates.values() if epochs is not None]
    wanted = sorted(set(epochs or own or EPOCHS))
    longest = max((len(trial.top1) for trial in trials if trial.final is not None), default=0)
    known = [each for each in wanted if each < longest]
    if not known:
        raise InputError(
            f"no finished trial has more than {wanted[0]} fine-tune epochs: wait for one, or give a lower --epochs"
        )
    lines, correlations = _correlations(results, trials, known)
    if own:
        lines += ["Only trials that went on have an end: the correlation is that among those.", _saved_line(trials)]
    sweeps = [[t for t in trials if t.group[0] == str(folder)] for folder, gate in gates.items() if gate is None]
    rows: list[dict[str, Any]] = []
    if sweeps:
        rules = [Rule(each, share, arguments.min_trials) for each in known for share in keep or KEEP]
        rows = [spread(sweeps, rule, arguments.slots, arguments.orders) for rule in rules]
        lines += _table(rows, arguments)
    if arguments.out:
        table = pd.DataFrame([*correlations, *rows])
        save({"gate.csv": table.to_csv(index=False).encode()}, arguments.out)
    return "\n".join([*lines, json.dumps({"agreement": correlations, "replay": rows})])


def _correlations(
    results: Results, trials: Sequence[Curve], epochs: Sequence[int]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Write for each number of epochs a line a budget and a sentence over all, and the same as rows."""
    count = Counter(folder.name for folder in results.folders)
    names = {str(folder): folder.name if count[folder.name] == 1 else str(folder) for folder in results.folders}
    lines, rows = ["epochs    n  rank correlation of top-1 then and at the end"], []
    for each in epochs:
        groups = pairs(trials, each)
        for (folder, label), some in groups.items():
            within = agreement([some])
            budget = label if len(names) == 1 else f"{names[folder]} {label}"
            rho = "not defined" if within.rho is None else f"{within.rho:11.2f}"
            lines.append(f"{each:6d}  {len(some):3d}  {rho}  budget {budget}")
            rows.append({"epochs": each, "budget": budget, "n": len(some), "rho": within.rho})
        whole = agreement(list(groups.values()))
        lines.append(f"{each:6d}  {whole.sentence}")
        rows.append({"epochs": each, "budget": "all", "n": whole.n, "rho": whole.rho, "p": whole.p})
    lines.append("Both are measured on the same held-out images: on new ones they would agree less.")
    return lines, rows


def _table(rows: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> list[str]:
    lines = [
        f"Replay: {arguments.slots} at a time, {arguments.orders} random orders (5 to 95 %), a gate from "
        f"{arguments.min_trials} trials of a budget on. The recorded trials",
        "are taken as they are: a sampler that is told of stops would have suggested others.",
        "epochs  keep  stopped  saved %              hypervolume %        best lost %  points",
    ]
    for row in rows:
        kind = "" if arguments.orders else "_in_order"
        parts = []
        for name in ("saved", "volume"):
            low, high = row.get(f"{name}_low", math.nan), row.get(f"{name}_high", math.nan)
            parts.append(f"{row[name + kind]:5.1f} ({low:5.1f} to {high:5.1f})")
        lines.append(
            f"{row['epochs']:6d}  {row['keep']:4g}  {row['stopped' + kind]:7.1f}  {parts[0]:20s} {parts[1]:20s} "
            f"{row['best_lost' + kind]:11.0f}  {row['points_lost' + kind]:6.2f}"
        )
    return lines


def _check(arguments: argparse.Namespace) -> None:
    for key in ("epochs", "min_trials", "slots"):
        values = getattr(arguments, key)
        if any(value < 1 for value in (values if isinstance(values, list) else [values])):
            raise InputError("must be at least 1", key=f"--{key.replace('_', '-')}")
    if any(not 0 < share < 1 for share in arguments.keep):
        raise InputError("must lie between 0 and 1", key="--keep")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 with one line on stderr for bad input."""
    parser = Parser(prog="python -m analysis.gate", description=__doc__)
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results folders or their URIs")
    parser.add_argument("--epochs", type=int, nargs="+", default=[], help="fine-tune epochs before the gate")
    parser.add_argument("--keep", type=float, nargs="+", default=[], help="shares that go on, between 0 and 1")
    parser.add_argument("--min-trials", type=int, default=4, help="trials of a budget before any is stopped")
    parser.add_argument("--slots", type=int, default=2, help="trials at a time in the replay")
    parser.add_argument("--orders", type=int, default=100, help="random orders of the trials")
    parser.add_argument("--out", metavar="DIR", help="folder for gate.csv")
    arguments = parser.parse_args(argv)

    def make() -> str:
        _check(arguments)
        return analyse(read(arguments.results), arguments.epochs, arguments.keep, arguments)

    return answer(make)


if __name__ == "__main__":
    sys.exit(main())
