"""Importances and slices say what an explored parameter matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.searches import importances, slices
from analysis.searches.explored import Group, Parameter
from tests.analysis.factory import text_of


def group(top1: Sequence[float | None], **values: Sequence[Any]) -> Group:
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    kinds = [
        Parameter(key, tuple(dict.fromkeys(column)))
        if isinstance(column[0], str)
        else Parameter(key, (), min(column), max(column))
        for key, column in values.items()
    ]
    return Group("0.5", tuple(kinds), tuple(rows), tuple(top1))


DRAW = np.random.default_rng(0)


NOISE, LR = DRAW.uniform(size=24).tolist(), DRAW.uniform(size=24).tolist()


MASK = DRAW.choice(["both", "sparsity"], size=24).tolist()


@pytest.mark.parametrize(
    ("top1", "best"), [([90 + 5 * lr for lr in LR], "lr"), ([90 + (mask == "both") for mask in MASK], "mask")]
)
def test_the_parameter_that_moves_the_accuracy_comes_first_and_twice_the_same(top1: list[float], best: str) -> None:
    found = [importances.importance(group(top1, noise=NOISE, lr=LR, mask=MASK)) for _ in range(2)]
    assert found[0] == found[1]
    assert next(iter(found[0].shares)) == best
    assert found[0].shares[best] > 0.7
    assert sum(found[0].shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (group([90.0 + x for x in range(7)], lr=LR[:7]), "7 finished trials: too few, 8 needed"),
        (group([90.0, *[None] * 20], lr=LR[:21]), "1 finished trial: too few"),
        (group([90.0] * 12, lr=LR[:12]), "same top-1"),
        (group([90.0 + x for x in range(9)], lr=[0.1] * 9), "no parameter was varied"),
        (Group("0.5", (), tuple({} for _ in range(9)), tuple(float(x) for x in range(9))), "nothing was explored"),
    ],
)
def test_a_reason_stands_where_no_number_means_anything(made: Group, reason: str) -> None:
    found = importances.importance(made)
    assert found.shares == {}
    assert reason in found.reason
    assert reason in text_of(importances.figure([found]))
    assert reason in importances.importances_csv([found])


def test_a_parameter_that_some_trials_lack_is_left_out() -> None:
    made = group([90 + 5 * lr for lr in LR], noise=NOISE, lr=LR)
    lacking = tuple({"noise": row["noise"]} if number == 3 else row for number, row in enumerate(made.values))
    assert list(importances.importance(Group("0.5", made.parameters, lacking, made.top1)).shares) == ["noise"]


def test_slices_mark_what_failed_and_use_the_range() -> None:
    axes = Figure().add_subplot()
    made = group([90.0, None, 92.0], lr=[0.1, 0.5, 2.0])
    slices.draw_slice(axes, made, Parameter("lr", (), 0.1, 2.0, log=True))
    assert axes.get_xscale() == "log"
    offsets = [collection.get_offsets() for collection in axes.collections]
    assert [len(np.asarray(each)) for each in offsets] == [2, 1, 1]  # finished, the best of them, failed


def test_budgets_that_explored_other_parameters_have_their_own_panels() -> None:
    some, other = group([90.0, 91.0], lr=[0.1, 0.2]), group([90.0, 91.0], decay=[0.1, 0.2])
    figure = slices.figure([some, Group("0.7", (), ({},), (90.0,)), other])
    shown = [(axes.get_xlabel(), bool(axes.get_ylabel())) for axes in figure.axes if axes.get_visible()]
    assert shown == [("lr", True), ("decay", True)]
