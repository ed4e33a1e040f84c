"""Measure whether the accuracy at a gate tells the final one, and what a gate saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from analysis.gates.replay import Curve

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
    """Measure how well values at the gate and at the end, (gate, end) pairs of each budget, agree within the budgets.

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
    """Pair top-1 after `epochs` fine-tune epochs with that at the end, for the finished trials of each group."""
    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for trial in trials:
        if trial.final is not None and len(trial.top1) > epochs:
            groups.setdefault(trial.group, []).append((trial.top1[epochs - 1], trial.final))
    return dict(groups)


def saved(trials: Sequence[Curve]) -> tuple[int, float, float]:
    """Count stopped trials, seconds that they did not need, and seconds that all trials took.

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
