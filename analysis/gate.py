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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from analysis.gates.replay import Curve, Rule, curves, spread
from analysis.load import Results, read
from analysis.output import answer, save
from ofb_ray.config.yaml12 import load as load_yaml
from ofb_ray.errors import InputError
from ofb_ray.results.files import SWEEP_FILE
from ofb_ray.results.store import readable

EPOCHS, KEEP = (1, 2, 3, 5, 10), (0.25, 0.5, 0.75)
_PERMUTATIONS = 2000
_CHANCE = 0.05
Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation within budgets (mean, weighted by trials), None where it is not defined.

    `p`: how often chance, exchanging the ends within each budget, agrees at least as well. `smallest`: the p that
    perfect agreement of so many trials could reach.
    """

    rho: float | None
    n: int
    p: float = 1.0
    smallest: float = 1.0

    @property
    def sentence(self) -> str:
        """Whether the gate may be trusted, in plain words."""
        if self.rho is None or self.smallest > _CHANCE:
            return (
                f"Whether the gate may be trusted is not known: {self.n} finished trials in budgets with two or more "
                "that differ, where even perfect agreement could be chance."
            )
        chance = f"p = {self.p:.3f}" if self.p >= 0.001 else "p < 0.001"
        figures = f"rank correlation {self.rho:.2f} over {self.n} trials, {chance}"
        if self.p <= _CHANCE:
            return f"The gate may be trusted to be better than chance ({figures}), not to keep the very best."
        return f"The gate was not shown to be better than chance ({figures}): do not trust it."


def agreement(groups: Sequence[Pairs]) -> Agreement:
    """How well values at the gate and at the end, (gate, end) pairs of each budget, agree within the budgets.

    Budgets whose values are all equal at the gate or at the end say nothing and are left out.
    """
    ranks = [np.array([rankdata(side) for side in zip(*group, strict=True)]) for group in groups if len(group) > 1]
    ranks = [each for each in ranks if each.std(axis=1).all()]
    n = sum(each.shape[1] for each in ranks)
    if not ranks:
        return Agreement(None, n)
    parts = [(each - each.mean(axis=1, keepdims=True)) / each.std(axis=1, keepdims=True) for each in ranks]
    total = sum(float(gate @ end) for gate, end in parts)
    rng = np.random.default_rng(0)
    drawn = [sum(float(gate @ rng.permutation(end)) for gate, end in parts) for _ in range(_PERMUTATIONS)]
    p = (1 + sum(each >= total - 1e-9 for each in drawn)) / (1 + _PERMUTATIONS)
    return Agreement(total / n, n, p, 1 / math.prod(math.factorial(each.shape[1]) for each in ranks))


def pairs(trials: Sequence[Curve], epochs: int) -> dict[tuple[str, str], Pairs]:
    """Top-1 after `epochs` fine-tune epochs and at the end, of the finished trials of each group."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for trial in trials:
        if trial.final is not None and len(trial.top1) > epochs:
            found.setdefault(trial.group, []).append((trial.top1[epochs - 1], trial.final))
    return dict(found)


def saved(trials: Sequence[Curve]) -> tuple[int, float, float]:
    """Stopped trials, seconds that they did not need, and seconds that all trials took.

    A fine-tune epoch is taken to cost what it cost in the mean of the group's finished trials; where none finished,
    what it cost in the stopped trial itself.
    """
    ended = [trial for trial in trials if trial.status == "stopped"]
    seconds = 0.0
    for trial in ended:
        others = [other.each for other in trials if other.group == trial.group and other.status == "finished"]
        each = float(np.mean(others)) if others else trial.each
        seconds += each * max(0, trial.epochs - len(trial.top1))
    return len(ended), seconds, sum(trial.seconds for trial in trials)


def gate_of(folder: Path) -> dict[str, Any] | None:
    """The gate in a results folder's sweep.yaml."""
    path = folder / SWEEP_FILE
    tree = load_yaml(path.read_text(encoding="utf-8"), str(path))[0] if path.exists() else {}
    scheduler = tree.get("scheduler") if isinstance(tree, dict) else None
    gate = scheduler.get("gate") if isinstance(scheduler, dict) else None
    return gate if isinstance(gate, dict) else None


def summary(location: str | Path) -> list[str]:
    """Two lines about the gate of a sweep, none where it has no gate."""
    gate = gate_of(readable(location))
    if gate is None:
        return []
    trials = curves(read([location]))
    return [_saved_line(trials), agreement(list(pairs(trials, int(gate["epochs"])).values())).sentence]


def _saved_line(trials: Sequence[Curve]) -> str:
    count, seconds, taken = saved(trials)
    share = 100 * seconds / (seconds + taken) if seconds + taken else 0.0
    return (
        f"The gate stopped {count} of {len(trials)} trials and saved about {seconds:,.0f} trial-seconds of search and "
        f"fine-tuning ({share:.0f} % of what all would have taken)."
    )


def analyse(results: Results, epochs: Sequence[int], keep: Sequence[float], arguments: argparse.Namespace) -> str:
    """The report as text, its last line JSON.

    Raises:
        InputError: no trial has been fine-tuned for more epochs than a gate asks for, or --out cannot be written.
    """
    gates = {folder: gate_of(folder) for folder in results.folders}
    trials = curves(results)
    own = [int(gate["epochs"]) for gate in gates.values() if gate]
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
    """For each number of epochs a line a budget and a sentence over all, and the same as rows."""
    count = Counter(folder.name for folder in results.folders)
    names = {str(folder): folder.name if count[folder.name] == 1 else str(folder) for folder in results.folders}
    lines, rows = ["epochs    n  rank correlation of top-1 then and at the end"], []
    for each in epochs:
        groups = pairs(trials, each)
        for (folder, label), some in groups.items():
            found = agreement([some])
            budget = label if len(names) == 1 else f"{names[folder]} {label}"
            rho = "not defined" if found.rho is None else f"{found.rho:11.2f}"
            lines.append(f"{each:6d}  {len(some):3d}  {rho}  budget {budget}")
            rows.append({"epochs": each, "budget": budget, "n": len(some), "rho": found.rho})
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
    """The command line: 0, or 2 with one line on stderr for bad input."""
    parser = argparse.ArgumentParser(prog="python -m analysis.gate", description=__doc__)
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
