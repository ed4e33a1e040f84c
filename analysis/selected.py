"""The selected trial of each budget beside the dense network: as Markdown, as LaTeX and as one screen of text."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from statistics import fmean
from textwrap import shorten, wrap
from typing import Any

from analysis.budgets import Budget, Dense, best_of, budgets, dense_networks, seeds_note
from analysis.load import Results, Trial
from ofb_ray.records import Record

HEAD = (
    "budget",
    "trial",
    "target",
    "MACs",
    "ratio",
    "used %",
    "params",
    "top-1 val",
    "top-1 test",
    "test vs dense",
    "embed / heads x channels / MLP",
    "search s",
)
SCREEN_COLUMNS = (0, 1, 3, 4, 5, 6, 7, 8, 9)
SCREEN_WIDTH = 100
SCREEN_BUDGETS, SCREEN_DENSE, SCREEN_FAILURES, SCREEN_PROBLEMS = 7, 2, 2, 1
RULE = "Each budget's trial was chosen by held-out top-1 (val) alone; top-1 test is only reported."
NONE = "-"


def rows(results: Results) -> tuple[list[list[str]], list[list[str]]]:
    """The cells under `HEAD`: of the dense networks, and of the budgets."""
    return [_dense_row(dense) for dense in dense_networks(results)], [_budget_row(each) for each in budgets(results)]


def markdown(results: Results) -> str:
    """The table in GitHub's Markdown, with the selection rule and the note on seeds below."""
    dense, selected = rows(results)
    lines = [_markdown_line(HEAD), _markdown_line(["---", *["---:"] * 9, "---", "---:"])]
    lines += [_markdown_line(cells) for cells in dense + selected]
    return "\n".join([*lines, "", *notes(results), ""])


def latex(results: Results) -> str:
    """A `table` environment with booktabs rules; all text is escaped."""
    dense, selected = rows(results)
    caption = " ".join([shorten(results.question or results.name, 200), *notes(results)])
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "\\centering\\footnotesize",
            f"\\caption{{{escape(caption)}}}",
            "\\begin{tabular}{lrrrrrrrrrlr}",
            "\\toprule",
            _latex_line(HEAD),
            "\\midrule",
            *[_latex_line(cells) for cells in dense],
            *(["\\midrule"] if dense and selected else []),
            *[_latex_line(cells) for cells in selected],
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
            "",
        ]
    )


def notes(results: Results) -> list[str]:
    """What a reader of the numbers must know, in sentences."""
    return [RULE, note] if (note := seeds_note(results)) else []


def screen(results: Results, out: str | Path) -> str:
    """At most 30 lines of 100 columns (a path may be longer): what was found, how far to trust it, what to do next."""
    dense, selected = rows(results)
    title = f"{results.name}: {results.question}".rstrip(": ")
    lines = [*wrap(title, SCREEN_WIDTH, max_lines=2, placeholder=" ..."), counts(results)]
    if selected:
        table = [list(HEAD), *dense[:SCREEN_DENSE], *selected[:SCREEN_BUDGETS]]
        lines += ["", *_aligned([[cells[column] for column in SCREEN_COLUMNS] for cells in table])]
        hidden = len(dense[SCREEN_DENSE:]) + len(selected[SCREEN_BUDGETS:])
        lines += [f"... and {hidden} more rows in table.md"] * bool(hidden)
        lines += ["", *(line for note in notes(results) for line in wrap(note, SCREEN_WIDTH))]
    lines += _failures(results)
    lines += [f"Note: {problem}" for problem in results.problems[:SCREEN_PROBLEMS]]
    if len(results.problems) > SCREEN_PROBLEMS:
        lines.append(f"... and {len(results.problems) - SCREEN_PROBLEMS} more notes: `reason` in front.csv")
    return "\n".join([*lines, "", f"In {out}: front.png, front.pdf, front.csv, table.md, table.tex", *_next(results)])


def counts(results: Results) -> str:
    """`12 trials: 11 finished, 1 failed`."""
    order = ("finished", "failed", "stopped", "died", "running", "queued", "unreadable")
    parts = [f"{number} {status}" for status in order if (number := len(results.by_status(status)))]
    total = len(results.trials)
    return f"{total} trial{'s' * (total != 1)}{': ' * bool(parts)}{', '.join(parts)}"


def human(value: float) -> str:
    """Three digits and K, M or G: `249 K`, `1.26 G`."""
    for scale, unit in ((1e9, " G"), (1e6, " M"), (1e3, " K")):
        # A number that rounds to 1000 of one unit is written as 1.00 of the next.
        if value >= 0.9995 * scale:
            number = value / scale
            return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f}{unit}"
    return f"{value:.0f}"


def escape(text: str) -> str:
    """Text that LaTeX sets as it stands."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {char: f"\\{char}" for char in "&%$#_{}"}
    return re.sub(r"[\\~^&%$#_{}]", lambda match: special[match.group()], text)


def widths_summary(arch: dict[str, Any] | None) -> str:
    """`48 / 2.2 x 16 / 128`: embedding, mean heads x mean channels per head, mean MLP width."""
    sizes = (arch or {}).get("widths", {})
    attention = [size for name, size in sizes.items() if name.endswith("attn")]
    mlp = [size["width"] for name, size in sizes.items() if name.endswith("mlp")]
    embed = [size["width"] for name, size in sizes.items() if not name.endswith(("attn", "mlp"))]
    if not (attention and mlp and embed):
        return NONE
    heads, channels = fmean(size["heads"] for size in attention), fmean(size["width"] for size in attention)
    return f"{_short(fmean(embed))} / {_short(heads)} x {_short(channels)} / {_short(fmean(mlp))}"


def _dense_row(dense: Dense) -> list[str]:
    label = "dense" if dense.count == 1 else f"dense (mean of {dense.count})"
    accuracies = [_points(dense.top1_val), _points(dense.top1_test)]
    sizes = [human(dense.macs), "1.000", NONE, human(dense.params)]
    return [label, NONE, NONE, *sizes, *accuracies, NONE, NONE, NONE]


def _budget_row(budget: Budget) -> list[str]:
    unit = " params" if budget.outcome.resource == "params" else ""
    target = f"{human(budget.outcome.target)}{unit}"
    record = budget.best.record if budget.best else None
    if budget.best is None or record is None or record.subnet is None:
        return [budget.label, "none", target, *[NONE] * 9]
    subnet, dense = record.subnet, record.dense
    used = getattr(subnet, record.budget.resource) / record.budget.target
    search = record.seconds.get("search")
    return [
        budget.label,
        str(budget.best.number),
        target,
        human(subnet.macs),
        f"{subnet.macs / dense.macs:.3f}" if dense else NONE,
        f"{100 * used:.1f}",
        human(subnet.params),
        _points(subnet.top1_val),
        _points(subnet.top1_test),
        _loss(record),
        widths_summary(record.arch),
        NONE if search is None else f"{search:.0f}",
    ]


def _loss(record: Record) -> str:
    """Points of top-1 test over its own dense network; of top-1 val, and marked so, where test was not measured."""
    for column, mark in (("top1_test", ""), ("top1_val", " (val)")):
        ours, theirs = getattr(record.subnet, column, None), getattr(record.dense, column, None)
        if ours is not None and theirs is not None:
            # Adding 0.0 turns a rounded -0.0 into 0.0.
            return f"{round(ours - theirs, 2) + 0.0:+.2f}{mark}"
    return NONE


def _failures(results: Results) -> list[str]:
    lost = [trial for trial in results.trials if trial.status in ("failed", "stopped", "died")]
    lost += [t for t in results.by_status("finished") if not t.met_budget]
    lines = [_failure(trial) for trial in lost[:SCREEN_FAILURES]]
    if len(lost) > SCREEN_FAILURES:
        lines.append(f"... and {len(lost) - SCREEN_FAILURES} more: `reason` in front.csv")
    return ["", *lines] if lines else []


def _failure(trial: Trial) -> str:
    state = "over budget" if trial.status == "finished" else trial.status
    reason = f": {trial.reason}" if trial.reason else ""
    return shorten(f"Trial {trial.name} (budget {trial.budget}) {state}{reason}", SCREEN_WIDTH, placeholder=" ...")


def _next(results: Results) -> list[str]:
    best = best_of(list(results.trials))
    steps = ["look at front.png; export a trial, such as the most accurate selected one:"] if best else []
    if best:
        steps.append(f"ofb-ray export {shlex.quote(str(best.folder))} --to DIR")
    steps.append(f"ofb-ray status {shlex.quote(str(results.folders[0]))}")
    return [f"{'Next:' if number == 0 else '':5}  {step}" for number, step in enumerate(steps)]


def _aligned(table: list[list[str]]) -> list[str]:
    spare = SCREEN_WIDTH - sum(max(len(cells[column]) for cells in table) + 2 for column in range(1, len(table[0])))
    labels = [shorten(cells[0], spare, placeholder="...") for cells in table]
    sizes = [max(len(cells[column]) for cells in table) for column in range(len(table[0]))]
    sizes[0] = max(len(label) for label in labels)
    return [
        label.ljust(sizes[0]) + "".join(f"  {cell:>{size}}" for cell, size in zip(cells[1:], sizes[1:], strict=True))
        for label, cells in zip(labels, table, strict=True)
    ]


def _markdown_line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _latex_line(cells: list[str] | tuple[str, ...]) -> str:
    return " & ".join(re.sub(r"^-(?=\d)", "$-$", escape(cell)) for cell in cells) + r" \\"


def _points(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
