"""Answer the paper's ablation questions by trials that are equal in all but what a question switches.

The numbers that OFB's authors measured are not known to this project: those cells are empty.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.fronts.seeds import Spread, settings
from analysis.paper.layout import OURS, PUBLISHED, Cell, Column, PaperTable
from analysis.paper.measured import data_label, dense, first, over, rest, subnet, unfinished
from analysis.trials.compare import spec_value
from analysis.trials.trial import Results, Trial
from ofb_ray.results.history import axis_cuts_of
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
    """Make the table of one question: a section for each setting and budget in which two or more rows were run."""
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


def pooled(spreads: list[Spread]) -> float | None:
    """Return the standard deviation from seed to seed, pooled over rows; None where no row has two seeds."""
    known = [(each.deviation, each.n - 1) for each in spreads if each.deviation is not None]
    freedom = sum(n for _, n in known)
    return math.sqrt(sum(deviation**2 * n for deviation, n in known) / freedom) if freedom else None


def _sections(question: Question, results: Results) -> list[dict[tuple[Any, ...], Trials]]:
    """List for each setting and budget the question's rows that were run: one trial a seed, ordered by seed."""
    sections: dict[tuple[str, str], dict[tuple[Any, ...], Trials]] = {}
    for setting in settings(results):
        record = first(setting)
        known = {
            tuple(spec_value(trial.record, key) for key in question.keys) for trial in setting.trials if trial.record
        }
        chosen = known.pop()
        # Seeds that do not agree on the switch (a sampler suggested it) are no row.
        if chosen in question.rows and not known:
            key = (rest(record, question.keys), json.dumps(setting.budget))
            row = sections.setdefault(key, {}).setdefault(chosen, {})
            for trial in setting.trials:
                if trial.record is not None:
                    # Two sweeps with the same row ran the same trial twice: it counts once.
                    row.setdefault(trial.record.seed, trial)
    return [rows for rows in sections.values() if len(rows) > 1]


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
        lambda record: max((cut.output_gap for cut in axis_cuts_of(record)), default=None),
    ]
    spreads = [over(trials, of) for of in quantities]
    return (data_label(record), record.budget.label, label, None, *spreads, len(trials))


def _dense_row(trials: tuple[Trial, ...]) -> tuple[Cell, ...]:
    record = trials[0].record
    assert record is not None
    accuracies = [over(trials, dense(column)) for column in ("top1_test", "top1_val")]
    return (data_label(record), "dense", "", None, *accuracies, *[None] * 5, len(trials))


def _difference(record: Record, full: Trial | None) -> float | None:
    """Return top-1 test minus that of the full method with the same seed, whose dense network is the same."""
    ours, theirs = record.subnet, full.record.subnet if full and full.record else None
    if ours is None or theirs is None or ours is theirs or ours.top1_test is None or theirs.top1_test is None:
        return None
    return ours.top1_test - theirs.top1_test


def _decided(record: Record, *, projected: bool) -> float:
    """Count the axes that the search's own eliminations decided, or the last projection."""
    return float(sum(cut.decided and cut.projected == projected for cut in axis_cuts_of(record)))


def _noise(spreads: list[Spread]) -> list[str]:
    """Say how large a difference of two rows must be to mean something."""
    deviation = pooled(spreads)
    if deviation is None:
        return []
    n = min(each.n for each in spreads if each.n > 1)
    return [
        f"The standard deviation from seed to seed, pooled over the rows, is {deviation:.2f} points of top-1 test: "
        f"with {n} seeds a row, differences below about {2 * math.sqrt(2 / n) * deviation:.1f} points mean nothing."
    ]
