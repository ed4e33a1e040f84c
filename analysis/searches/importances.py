"""Estimate which explored parameter moves the accuracy, by Optuna's fANOVA on each budget's records.

The one file of the analysis that needs Optuna, and only when it is asked for numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.drawing.marks import COLOURS
from analysis.searches.explored import Group, Parameter

FEWEST = 8  # finished trials; below it a forest only repeats chance
SEED = 0
COLUMNS = 4
MOST = 100


@dataclass(frozen=True)
class Importance:
    """The share of the variance of top-1 val that each parameter explains within a budget, largest first; sums to 1.

    `shares` is empty where `reason` says why there is nothing to say. `trials` finished, `used` of them were looked at.
    """

    label: str
    trials: int
    shares: dict[str, float]
    reason: str = ""
    used: int = 0


def importance(group: Group) -> Importance:
    """Run fANOVA, its seed fixed, over the finished trials and the parameters that all of them have and that changed.

    Its time grows with the square of the trials: of many, `MOST` evenly spread over the sweep are looked at.
    """
    finished = group.finished
    count = len(finished)
    moving = [each for each in group.parameters if _moves(each, [values for values, _ in finished])]
    if not group.parameters:
        return Importance(group.label, count, {}, "nothing was explored")
    if count < FEWEST:
        return Importance(
            group.label, count, {}, f"{count} finished trial{'s' * (count != 1)}: too few, {FEWEST} needed"
        )
    if len({top1 for _, top1 in finished}) == 1:
        return Importance(group.label, count, {}, "all trials have the same top-1")
    if not moving:
        return Importance(group.label, count, {}, "no parameter was varied in all trials")
    some = [finished[index * count // MOST] for index in range(MOST)] if count > MOST else finished
    return Importance(group.label, count, _fanova(moving, some), used=len(some))


def _moves(parameter: Parameter, trials: Sequence[dict[str, object]]) -> bool:
    values = [values[parameter.key] for values in trials if parameter.key in values]
    return len(values) == len(trials) and len(set(values)) > 1


def _fanova(parameters: Sequence[Parameter], finished: Sequence[tuple[dict[str, object], float]]) -> dict[str, float]:
    import optuna

    kinds = optuna.distributions
    spaces: dict[str, optuna.distributions.BaseDistribution] = {}
    for each in parameters:
        if each.choices:
            # Indices stand for the choices: Optuna warns of choices that it could not store.
            spaces[each.key] = kinds.CategoricalDistribution(list(range(len(each.choices))))
        elif each.integer:
            spaces[each.key] = kinds.IntDistribution(int(each.low), int(each.high), log=each.log)
        else:
            spaces[each.key] = kinds.FloatDistribution(each.low, each.high, log=each.log)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="maximize")
        for values, top1 in finished:
            params = {
                each.key: each.choices.index(values[each.key]) if each.choices else values[each.key]
                for each in parameters
            }
            study.add_trial(optuna.create_trial(params=params, distributions=spaces, value=top1))
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=SEED)
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    finally:
        optuna.logging.set_verbosity(before)
    return {key: float(share) for key, share in shares.items()}


def importances_csv(importances: Sequence[Importance]) -> str:
    """Write CSV with a row a budget and parameter; where there is no number the note says why."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["budget", "parameter", "importance", "trials", "note"])
    for each in importances:
        for key, share in each.shares.items():
            writer.writerow([each.label, key, f"{share:.4f}", each.used, ""])
        if each.reason:
            writer.writerow([each.label, "", "", each.trials, each.reason])
    return text.getvalue()


def draw_importance(axes: Axes, importance: Importance) -> None:
    """Draw one budget as bars; the dashed line is what each would have if all mattered alike."""
    part = f"{importance.used} of " if importance.shares and importance.used < importance.trials else ""
    axes.set_title(f"budget {importance.label} (n = {part}{importance.trials})", loc="left", fontsize=8)
    axes.grid(visible=False, axis="y")
    if not importance.shares:
        axes.text(
            0.5, 0.5, importance.reason, ha="center", va="center", transform=axes.transAxes, fontsize=8, color="0.35"
        )
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return
    names, shares = list(importance.shares), list(importance.shares.values())
    axes.barh(range(len(names)), shares, color=COLOURS[0], height=0.6, zorder=2)
    for index, share in enumerate(shares):
        box = {"fc": "white", "ec": "none", "pad": 0.8}
        axes.text(share + 0.02, index, f"{share:.2f}", va="center", fontsize=7, bbox=box, zorder=4)
    axes.axvline(1 / len(names), color="0.35", lw=0.9, ls="--", zorder=3)
    axes.set_yticks(range(len(names)), [name.replace(".", ".\n", 1) for name in names], fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.set(xlim=(0, 1.15), ylim=(len(names) - 0.4, -0.6))


def figure(importances: Sequence[Importance]) -> Figure:
    """Draw the budgets side by side; without any the figure says so."""
    if not importances:
        picture = Figure(figsize=(8.0, 2.0))
        picture.text(
            0.5, 0.5, "No trial has ended: nothing to say yet", ha="center", va="center", fontsize=14, color="0.35"
        )
        return picture
    across, down = min(COLUMNS, len(importances)), -(-len(importances) // COLUMNS)
    most = max(len(each.shares) for each in importances)
    picture = Figure(figsize=(max(5.0, 2.9 * across), down * (0.42 * most + 0.8) + 0.7), layout="constrained")
    grid = picture.subplots(down, across, squeeze=False)
    for number, axes in enumerate(grid.flat):
        axes.set_visible(number < len(importances))
        if number < len(importances):
            draw_importance(axes, importances[number])
    picture.supxlabel("share of the variance of held-out top-1 (fANOVA); dashed: all alike", fontsize=8)
    picture.suptitle("Which parameter moves the accuracy", x=0.012, ha="left", fontsize=10, fontweight="bold")
    return picture
