"""Say on one screen what was found, by which trials, how far to trust them, what failed and what to do next."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten, wrap

from analysis.fronts.budgets import best_of
from analysis.fronts.found import found
from analysis.fronts.front_data import FrontData
from analysis.fronts.hypervolume import total
from analysis.fronts.selected_table import counts, human, notes, rows
from analysis.paper.baselines import backbone_of, is_imagenet
from analysis.trials.trial import Results, Trial

# What stands in the file alone, and what gives way on a narrow terminal, first things first.
HIDDEN = {"target", "embed / heads x channels / MLP", "search s"}
YIELDING = ("params", "used %", "ratio", "trial", "vs dense")
# Of the terminal: what is used of a wide one, or where there is none, and what is used at least.
WIDTH, NARROW, LINES = 100, 60, 30
# Of the first column at least.
LABEL = 14
DENSE, FAILURES, PROBLEMS = 2, 2, 1


def terminal_summary(
    results: Results, out: str | Path, data: FrontData, files: Sequence[str], remarks: Sequence[str] = ()
) -> str:
    """Write at most 30 lines as wide as the terminal, of at most 100 columns (a path may be longer).

    Args:
        out: where the files are.
        data: the front that was drawn.
        files: their names.
        remarks: more sentences for the reader, before the problems of the results.
    """
    width = _width()
    title = f"{results.name}: {results.question}".rstrip(": ")
    answer = [line for each in found(results) for line in wrap(each, width, max_lines=2, placeholder=" ...")]
    head = [*wrap(title, width, max_lines=2, placeholder=" ..."), *answer, counts(results)]
    said = [line for note in notes(results) for line in wrap(note, width)]
    said += [line for note in (*front_notes(data), *remarks) for line in wrap(note, width, max_lines=2)]
    foot = ["", *said] if said else []
    foot += _failures(results)
    foot += [shorten(f"Note: {problem}", width, placeholder=" ...") for problem in results.problems[:PROBLEMS]]
    if len(results.problems) > PROBLEMS:
        foot.append(f"... and {len(results.problems) - PROBLEMS} more notes: `reason` in front.csv")
    names: dict[str, list[str]] = {}
    for file in files:
        stem, _, kind = file.rpartition(".")
        names.setdefault(stem, []).append(kind)
    listed = ", ".join(f"{stem}.{'|'.join(kinds)}" for stem, kinds in names.items())
    foot += ["", f"In {out}: {listed}", *_next(results, data, files)]
    return "\n".join([*head, *_table(results, LINES - len(head) - len(foot)), *foot])


def front_notes(data: FrontData) -> list[str]:
    """Say knee, hypervolume and what is missing or only reported, in sentences."""
    sentences = []
    if (knee := data.knee) is not None:
        x, y = (_value(each.kind, value) for each, value in zip((data.x, data.y), knee, strict=True))
        sentences.append(f"Knee of the front (farthest from the line that joins its ends): {y} at {x} {data.x.plain}.")
    if (volume := total(data.results, data.x, data.y)) is not None and data.shown:
        of = "the selected" if data.x.is_test or data.y.is_test else "all"
        sentences.append(f"Hypervolume of {of} trials: {volume[0]:.4f} of the area up to {volume[1].text}.")
    if data.unmeasured:
        missing = [each for each in (data.x, data.y) if each.remedy]
        remedy = f": {missing[0].remedy}" if missing else ""
        trials = "trial has" if data.unmeasured == 1 else "trials have"
        sentences.append(f"{data.unmeasured} finished {trials} no value of {data.y.name} or {data.x.name}{remedy}.")
    if data.x.is_test or data.y.is_test:
        sentences.append(
            "Test accuracy is on an axis: it is reported, not selected by; the front is that of the selected trials."
        )
    return [*sentences, *data.x.notes, *data.y.notes]


def _value(kind: str, value: float) -> str:
    if kind == "percent":
        return f"{value:.2f} %"
    return human(value) if kind == "count" else f"{value:.3g} {kind}"


def _table(results: Results, room: int) -> list[str]:
    """Write as many rows as fit; at least the head and one row."""
    columns, dense, selected = rows(results)
    if not selected:
        return []
    cells = [*dense[:DENSE], *selected]
    hidden = len(dense[DENSE:])
    fit = max(1, room - 2)
    if hidden or len(cells) > fit:
        fit = max(1, fit - 1)
        hidden += len(cells[fit:])
    lines = ["", *_aligned(_narrowed([columns, *cells[:fit]]))]
    return [*lines, *[f"... and {hidden} more rows in table.md"] * bool(hidden)]


def _failures(results: Results) -> list[str]:
    lost = [trial for trial in results.trials if trial.status in ("failed", "stopped", "died")]
    lost += [t for t in results.by_status("finished") if not t.met_budget]
    lines = [_failure(trial) for trial in lost[:FAILURES]]
    if len(lost) > FAILURES:
        lines.append(f"... and {len(lost) - FAILURES} more: `reason` in front.csv")
    return ["", *lines] if lines else []


def _failure(trial: Trial) -> str:
    state = "over budget" if trial.status == "finished" else trial.status
    reason = f": {trial.reason}" if trial.reason else ""
    return shorten(f"Trial {trial.name} (budget {trial.budget}) {state}{reason}", _width(), placeholder=" ...")


def _next(results: Results, data: FrontData, files: Sequence[str]) -> list[str]:
    best = best_of(list(results.trials))
    picture = next((file for file in files if file.endswith(".png")), "front.png")
    steps = [f"look at {picture}; export a trial, such as the most accurate one:"] if best else []
    if best:
        steps.append(f"ofb-ray export {shlex.quote(str(best.folder))} --to DIR")
    folders = shlex.join(str(folder) for folder in results.folders)
    steps.append(f"ofb-ray status {shlex.quote(str(results.folders[0]))}")
    if best:
        steps.append(f"ofb-ray report {folders}    # all of it on one page")
    if is_imagenet(results) and data.shown and not any(file.startswith("rivals") for file in files):
        steps.append(f"ofb-ray front {folders} --rivals {backbone_of(results)}    # published results beside")
    return [f"{'Next:' if number == 0 else '':5}  {step}" for number, step in enumerate(steps)]


def _width() -> int:
    return max(NARROW, min(WIDTH, shutil.get_terminal_size((WIDTH, LINES)).columns))


def _narrowed(table: list[list[str]]) -> list[list[str]]:
    """Leave out columns until the table is as narrow as the terminal, or only those are left that must stay."""
    hidden = set(HIDDEN)
    for name in ("", *YIELDING):
        hidden.add(name)
        kept = [column for column, head in enumerate(table[0]) if head not in hidden]
        narrowed = [[row[column] for column in kept] for row in table]
        if _rest(narrowed) >= LABEL:
            break
    return narrowed


def _rest(table: list[list[str]]) -> int:
    """The columns of the terminal that are left for the first cells of a table."""
    return _width() - sum(max(len(cells[column]) for cells in table) + 2 for column in range(1, len(table[0])))


def _aligned(table: list[list[str]]) -> list[str]:
    spare = _rest(table)
    labels = [shorten(cells[0], spare, placeholder="...") for cells in table]
    sizes = [max(len(cells[column]) for cells in table) for column in range(len(table[0]))]
    sizes[0] = max(len(label) for label in labels)
    return [
        label.ljust(sizes[0]) + "".join(f"  {cell:>{size}}" for cell, size in zip(cells[1:], sizes[1:], strict=True))
        for label, cells in zip(labels, table, strict=True)
    ]
