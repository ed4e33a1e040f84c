"""The paper's ablation questions, answered by trials that are equal in all but what a question switches.

The numbers that OFB's authors measured are not known to this project: those cells are empty.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.fronts.seeds import Spread, settings
from analysis.load import Results, Trial
from analysis.paper.layout import OURS, PUBLISHED, Cell, Column, PaperTable
from analysis.paper.measured import data_label, dense, first, over, rest, subnet, unfinished, value
from ofb_ray.results.records import Record


@dataclass(frozen=True)
class Question:
    """What an ablation switches: keys of the spec, and for each combination of their values the name of its row."""

    title: str
    keys: tuple[str, ...]
    rows: dict[tuple[Any, ...], str]


QUESTIONS = {
    "ablation-mask": Question(
        "Which half of the bi-mask is needed?",
        ("search.mask",),
        {("both",): "importance and sparsity", ("importance",): "importance only", ("sparsity",): "sparsity only"},
    ),
    "ablation-one-hot": Question(
        "Which terms of the one-hot loss are needed?",
        ("search.entropy", "search.variance"),
        {
            (True, True): "entropy and variance (tangent)",
            (True, False): "entropy only",
            (False, True): "variance (tangent) only",
            (False, False): "neither",
        },
    ),
    "ablation-pmim": Question(
        "Does masked image modelling help, and must the masked share grow?",
        ("search.pmim.mode",),
        {("progressive",): "growing share", ("fixed",): "fixed share", ("off",): "off"},
    ),
}
_COLUMNS = (
    Column("setting", "setting"),
    Column("budget", "budget"),
    Column("row", "row"),
    Column("published_top1", "top-1", "points", PUBLISHED),
    Column("top1_test", "top-1 test", "points", OURS),
    Column("top1_val", "top-1 val", "points", OURS),
    Column("difference", "difference", "points", OURS),
    Column("used", "used %", "points", OURS),
    Column("eliminated", "eliminated", "plain", OURS),
    Column("projected", "projected", "plain", OURS),
    Column("output_gap", "gap", "plain", OURS),
    Column("seeds", "seeds", "whole", OURS),
)
_NOTES = (
    "Published: OFB's ablation numbers are not known to this project, the cells are empty. Rows of a section are equal "
    "in all but the switch, their first is the full method; mean ± standard deviation over the seeds. A difference is "
    "to the full method, seed by seed.",
    "Used: of the budget. Eliminated: axes of which one candidate was left; projected: axes open in the end, which "
    "were decided together. Gap: the largest relative change of the logits in a cut.",
)

Trials = dict[int, Trial]


def ablation_table(name: str, results: Results) -> PaperTable:
    """The table of one question: a section for each setting and budget in which at least two of its rows were run."""
    question = QUESTIONS[name]
    sections = []
    tested = []
    for rows in _sections(question, results):
        ordered = {key: tuple(rows[key].values()) for key in question.rows if key in rows}
        full = rows.get(next(iter(question.rows)), {})
        sections.append(tuple(_row(question.rows[key], trials, full) for key, trials in ordered.items()))
        tested += [over(trials, subnet("top1_test")) for trials in ordered.values()]
        sections[-1] += (_dense_row(max(ordered.values(), key=len)),)
    measured = len(tested)
    if not sections:
        blank: list[Cell] = [None] * (len(_COLUMNS) - 3)
        sections = [tuple(("", "", label, *blank) for label in question.rows.values())]
    notes = (*_NOTES, *_noise([each for each in tested if each]), *unfinished(results))
    return PaperTable(name, question.title, _COLUMNS, tuple(sections), measured, notes)


def pooled(found: list[Spread]) -> float | None:
    """The standard deviation from seed to seed, pooled over rows; None where no row has two seeds."""
    known = [(each.deviation, each.n - 1) for each in found if each.deviation is not None]
    freedom = sum(n for _, n in known)
    return math.sqrt(sum(deviation**2 * n for deviation, n in known) / freedom) if freedom else None


def _sections(question: Question, results: Results) -> list[dict[tuple[Any, ...], Trials]]:
    """For each setting and budget, what was run of the question's rows: one trial a seed, in the order of the seeds."""
    found: dict[tuple[str, str], dict[tuple[Any, ...], Trials]] = {}
    for setting in settings(results):
        record = first(setting)
        known = {tuple(value(trial.record, key) for key in question.keys) for trial in setting.trials if trial.record}
        chosen = known.pop()
        # Seeds that do not agree on the switch (a sampler suggested it) are no row.
        if chosen in question.rows and not known:
            place = (rest(record, question.keys), json.dumps(setting.budget))
            row = found.setdefault(place, {}).setdefault(chosen, {})
            for trial in setting.trials:
                if trial.record is not None:
                    # Two sweeps with the same row ran the same trial twice: it counts once.
                    row.setdefault(trial.record.seed, trial)
    return [rows for rows in found.values() if len(rows) > 1]


def _row(label: str, trials: tuple[Trial, ...], full: Trials) -> tuple[Cell, ...]:
    record = trials[0].record
    assert record is not None
    quantities: list[Callable[[Record], float | None]] = [
        subnet("top1_test"),
        subnet("top1_val"),
        lambda record: _difference(record, full.get(record.seed)),
        lambda record: None if record.budget.used is None else 100 * record.budget.used,
        lambda record: _decided(record, projected=False),
        lambda record: _decided(record, projected=True),
        lambda record: max((event["output_gap"] for event in record.events if "output_gap" in event), default=None),
    ]
    spreads = [over(trials, of) for of in quantities]
    return (data_label(record), record.budget.label, label, None, *spreads, len(trials))


def _dense_row(trials: tuple[Trial, ...]) -> tuple[Cell, ...]:
    record = trials[0].record
    assert record is not None
    accuracies = [over(trials, dense(column)) for column in ("top1_test", "top1_val")]
    return (data_label(record), "dense", "", None, *accuracies, *[None] * 5, len(trials))


def _difference(record: Record, full: Trial | None) -> float | None:
    """Top-1 test minus that of the full method with the same seed, whose dense network is the same."""
    ours, theirs = record.subnet, full.record.subnet if full and full.record else None
    if ours is None or theirs is None or ours is theirs or ours.top1_test is None or theirs.top1_test is None:
        return None
    return ours.top1_test - theirs.top1_test


def _decided(record: Record, *, projected: bool) -> float:
    """How many axes the search's own eliminations decided, or the last projection."""
    return float(
        sum(bool(event.get("decided")) and bool(event.get("projected")) == projected for event in record.events)
    )


def _noise(found: list[Spread]) -> list[str]:
    """How large a difference of two rows must be to mean something."""
    deviation = pooled(found)
    if deviation is None:
        return []
    n = min(each.n for each in found if each.n > 1)
    return [
        f"The standard deviation from seed to seed, pooled over the rows, is {deviation:.2f} points of top-1 test: "
        f"with {n} seeds a row, differences below about {2 * math.sqrt(2 / n) * deviation:.1f} points mean nothing."
    ]
