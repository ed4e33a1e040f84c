"""Write the selected trial of each budget beside the dense network, with several seeds as means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean
from textwrap import shorten
from typing import Any

from analysis.fronts.budgets import Budget, Dense, budgets, dense_networks, seeds_note
from analysis.fronts.change import change_of
from analysis.fronts.seeds import pooled, spread, treatment
from analysis.fronts.training import trained, undertrained
from analysis.trials.trial import Results
from ofb_ray.results.history import widths_of
from ofb_ray.results.records import BudgetOutcome, Record

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
    "vs dense",
    "embed / heads x channels / MLP",
    "search s",
)
# Beside the ratio of MACs where a budget limits latency: what the subnet took of the dense network's time.
TIME, _TIME_PLACE = "time ratio", HEAD.index("ratio") + 1
RULE = "Each budget's trial was chosen by held-out top-1 (val) alone, which flatters it; top-1 test is only reported."
NONE = "-"
# A wide table shrinks to the text's width, beyond which a page cuts it off.
FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%" + "\n"


def rows(results: Results) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """Return the head, which has `TIME` where a budget limits latency, and cells: of dense networks, and of budgets."""
    groups = budgets(results)
    head, dense = list(HEAD), [_dense_row(each) for each in dense_networks(results)]
    selected = [_budget_row(each) for each in groups]
    if any(each.outcome.resource == "latency_ns" for each in groups):
        times = [TIME, *["1.000" for _ in dense], *(_time(each.records) for each in groups)]
        for cells, time in zip([head, *dense, *selected], times, strict=True):
            cells.insert(_TIME_PLACE, time)
    return head, dense, selected


def markdown(results: Results) -> str:
    """Write the table in GitHub's Markdown, with the selection rule and the note on seeds below."""
    head, dense, selected = rows(results)
    lines = [_markdown_line(head), _markdown_line(["---", *["---:"] * (len(head) - 3), "---", "---:"])]
    lines += [_markdown_line(cells) for cells in dense + selected]
    trials = [f"Trials behind the means: {'; '.join(some)}."] if (some := behind(results)) else []
    return "\n".join([*lines, "", *notes(results), *trials, ""])


def latex(results: Results) -> str:
    """Write a `table` environment with booktabs rules; all text is escaped."""
    head, dense, selected = rows(results)
    caption = " ".join([shorten(results.question or results.name, 200), *notes(results)])
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,graphicx}",
            "\\begin{table}",
            "\\centering\\footnotesize",
            f"\\caption{{{escape(caption)}}}",
            FITTED + f"\\begin{{tabular}}{{l{'r' * (len(head) - 3)}lr}}",
            "\\toprule",
            _latex_line(head),
            "\\midrule",
            *[_latex_line(cells) for cells in dense],
            *(["\\midrule"] if dense and selected else []),
            *[_latex_line(cells) for cells in selected],
            "\\bottomrule",
            "\\end{tabular}}",
            "\\end{table}",
            "",
        ]
    )


def notes(results: Results) -> list[str]:
    """Say what a reader of the numbers must know, in sentences."""
    note = seeds_note(results)
    if not note:
        return []
    chosen = [budget.setting for budget in budgets(results) if budget.setting]
    deviation = ["± is the standard deviation over seeds."] * bool(chosen)
    training = filter(None, [undertrained(results), trained(results)])
    return [*training, RULE, " ".join([*filter(None, [pooled(results), treatment(chosen)]), *deviation, note])]


def behind(results: Results) -> list[str]:
    """List for each budget with several seeds the trials behind its means, as one line: `0.25: 12, 20, 31`."""
    return [
        f"{budget.label}: {', '.join(str(trial.name) for trial in budget.setting.trials)}"
        for budget in budgets(results)
        if budget.setting
    ]


def counts(results: Results) -> str:
    """Count the trials: `12 trials: 11 finished, 1 failed`."""
    order = ("finished", "failed", "stopped", "died", "running", "queued", "unreadable")
    parts = [f"{number} {status}" for status in order if (number := len(results.by_status(status)))]
    total = len(results.trials)
    return f"{total} trial{'s' * (total != 1)}{': ' * bool(parts)}{', '.join(parts)}"


def human(value: float) -> str:
    """Write three digits and K, M or G: `249 K`, `1.26 G`."""
    for scale, unit in ((1e9, " G"), (1e6, " M"), (1e3, " K")):
        # A number that rounds to 1000 of one unit is written as 1.00 of the next.
        if value >= 0.9995 * scale:
            number = value / scale
            return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f}{unit}"
    return f"{value:.0f}"


def escape(text: str) -> str:
    """Escape text so that LaTeX sets it as it stands."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special["±"] = r"$\pm$"
    special |= {char: f"\\{char}" for char in "&%$#_{}"}
    return re.sub(r"[\\~^&%$#_{}±]", lambda match: special[match.group()], text)


def widths_summary(archs: Sequence[dict[str, Any] | None]) -> str:
    """Write means over all networks, `48 / 2.2 x 16 / 128`: embedding, heads x channels per head, MLP width."""
    sizes = [item for arch in archs for item in widths_of(arch).items()]
    attention = [size for name, size in sizes if name.endswith("attn")]
    mlp = [width for name, (_, width) in sizes if name.endswith("mlp")]
    embed = [width for name, (_, width) in sizes if not name.endswith(("attn", "mlp"))]
    if not (attention and mlp and embed):
        return NONE
    heads, channels = (fmean(each) for each in zip(*attention, strict=True))
    return f"{_short(fmean(embed))} / {_short(heads)} x {_short(channels)} / {_short(fmean(mlp))}"


def _dense_row(dense: Dense) -> list[str]:
    label = "dense" if dense.count == 1 else f"dense (mean of {dense.count})"
    pairs = zip((dense.top1_val, dense.top1_test), dense.deviations, strict=True)
    accuracies = [_points(mean, deviation) for mean, deviation in pairs]
    sizes = [human(dense.macs), "1.000", NONE, human(dense.params)]
    return [label, NONE, NONE, *sizes, *accuracies, NONE, NONE, NONE]


def _budget_row(budget: Budget) -> list[str]:
    """Write the row of the selected trial; with several seeds the means over those of the selected setting."""
    target, trials, records = _target(budget.outcome), budget.chosen, budget.records
    subnets = [record.subnet for record in records if record.subnet]
    if not subnets:
        return [budget.label, "none", target, *[NONE] * 9]
    ratios = [record.subnet.macs / record.dense.macs for record in records if record.subnet and record.dense]
    used = [getattr(each, budget.outcome.resource) / budget.outcome.target for each in subnets]
    val, test = (spread([getattr(each, column) for each in subnets]) for column in ("top1_val", "top1_test"))
    search = [record.seconds["search"] for record in records if "search" in record.seconds]
    return [
        budget.label,
        f"{len(trials)} seeds" if budget.setting else str(trials[0].number),
        target,
        human(fmean(each.macs for each in subnets)),
        f"{fmean(ratios):.3f}" if ratios else NONE,
        f"{100 * fmean(used):.1f}",
        human(fmean(each.params for each in subnets)),
        *(_points(each.mean, each.deviation) if each else NONE for each in (val, test)),
        _loss(records),
        widths_summary([record.arch for record in records]),
        f"{fmean(search):.0f}" if search else NONE,
    ]


def _target(outcome: BudgetOutcome) -> str:
    if outcome.resource == "latency_ns":
        return f"{outcome.target / 1e6:.3g} ms"
    return f"{human(outcome.target)}{' params' if outcome.resource == 'params' else ''}"


def _time(records: Sequence[Record]) -> str:
    """Write what subnets took of their dense networks' time in a run of both, in turns."""
    found = spread([record.latency.ratio if record.latency else None for record in records])
    return _points(found.mean, found.deviation, 3) if found else NONE


def _loss(records: Sequence[Record]) -> str:
    """Write points of top-1 test over the own dense network; of top-1 val, marked so, where test is not measured."""
    change = change_of(records)
    if change is None:
        return NONE
    over = change.over
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    deviation = "" if over.deviation is None else f" ± {over.deviation:.2f}"
    return f"{round(over.mean, 2) + 0.0:+.2f}{deviation}{'' if change.split == 'test' else ' (val)'}"


def _markdown_line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _latex_line(cells: list[str] | tuple[str, ...]) -> str:
    return " & ".join(re.sub(r"^-(?=\d)", "$-$", escape(cell)) for cell in cells) + r" \\"


def _points(value: float | None, deviation: float | None = None, digits: int = 2) -> str:
    more = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return NONE if value is None else f"{value:.{digits}f}{more}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
