"""Write a paper's table as Markdown and LaTeX, numbers as text to read, and as CSV, numbers to go on with."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.fronts.seeds import Spread
from analysis.fronts.selected_table import FITTED, escape, human

PUBLISHED, OURS = "published", "ours"
Kind = Literal["text", "points", "count", "seconds", "days", "plain", "whole"]


@dataclass(frozen=True)
class Footnote:
    """A text too long for a cell, such as where a number stands: `head` and a number in the table, `text` below it."""

    text: str
    head: str = ""


Cell = str | int | float | Spread | Footnote | None


@dataclass(frozen=True)
class Column:
    """A column. `key` is its head in the CSV; `group` is the word above heads that belong together, or empty.

    `kind`: text; points (percent), count (MACs, parameters), seconds, days, plain (two digits), whole.
    """

    key: str
    head: str
    kind: Kind = "text"
    group: str = ""


@dataclass(frozen=True)
class PaperTable:
    """A table: `sections` are rows between rules, and every row has a cell for each column.

    `measured` is the number of rows with a number of this project's; `notes` are sentences below the table.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    sections: tuple[tuple[tuple[Cell, ...], ...], ...]
    measured: int
    notes: tuple[str, ...] = ()

    @property
    def sources(self) -> list[str]:
        """The sources, in the order of their numbers."""
        cells = (cell for section in self.sections for row in section for cell in row if isinstance(cell, Footnote))
        return list(dict.fromkeys(cell.text for cell in cells))


def texts(table: PaperTable) -> tuple[list[str], list[list[str]], list[str]]:
    """Return heads, rows and lines below as text; the group of a column stands in front of its head."""
    heads = [f"{column.group} {column.head}".strip() for column in table.columns]
    below = [*table.notes, *(f"[{number}] {text}" for number, text in enumerate(table.sources, 1))]
    return heads, [cells for section in _texts(table) for cells in section], below


def markdown(table: PaperTable) -> str:
    """Write the table in GitHub's Markdown."""
    heads, rows, below = texts(table)
    lines = [f"**{table.title}**", "", _line(heads), _line(["---" if _left(c) else "---:" for c in table.columns])]
    lines += [_line(cells) for cells in rows]
    return "\n".join([*lines, *(part for line in below for part in ("", line)), ""])


def latex(table: PaperTable) -> str:
    """Write a `table*` with booktabs rules; sources and notes below it. All text is escaped."""
    aligned = "".join("l" if _left(column) else "r" for column in table.columns)
    sections = ["\n".join(_row(cells) for cells in section) for section in _texts(table) if section]
    below = [*table.notes, *(f"[{number}] {text}" for number, text in enumerate(table.sources, 1))]
    lines = [
        "% needs \\usepackage{booktabs,graphicx}",
        "\\begin{table*}",
        "\\centering\\scriptsize\\setlength{\\tabcolsep}{4pt}",
        f"\\caption{{{_escape(table.title)}}}\\smallskip",
        f"{FITTED}\\begin{{tabular}}{{{aligned}}}",
        "\\toprule",
        *_spans(table.columns),
        _row([column.head for column in table.columns]),
        "\\midrule",
        "\n\\midrule\n".join(sections),
        "\\bottomrule",
        "\\end{tabular}}",
        "\\par\\medskip\\raggedright",
        *(f"{_escape(text)}\\par" for text in below),
        "\\end{table*}",
    ]
    return "\n".join([*(line for line in lines if line), ""])


def as_csv(table: PaperTable) -> str:
    """Write plain numbers in units of one (percent, counts, seconds, days), deviations in a column of their own."""
    rows = [row for section in table.sections for row in section]
    spread = [any(isinstance(row[index], Spread) for row in rows) for index in range(len(table.columns))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        key
        for column, wide in zip(table.columns, spread, strict=True)
        for key in ([column.key, f"{column.key}_deviation"] if wide else [column.key])
    )
    for row in rows:
        writer.writerow(value for cell, wide in zip(row, spread, strict=True) for value in _values(cell, wide))
    return out.getvalue()


def _values(cell: Cell, wide: bool) -> list[str | float | None]:
    if isinstance(cell, Spread):
        return [round(cell.mean, 6), None if cell.deviation is None else round(cell.deviation, 6)]
    value = f"{cell.head}: {cell.text}".removeprefix(": ") if isinstance(cell, Footnote) else cell
    return [value, None] if wide else [value]


def _texts(table: PaperTable) -> list[list[list[str]]]:
    numbers = {text: f"[{number}]" for number, text in enumerate(table.sources, 1)}

    def text(cell: Cell, column: Column) -> str:
        if isinstance(cell, Footnote):
            return f"{cell.head} {numbers[cell.text]}".strip()
        return cell if isinstance(cell, str) else _number(cell, column.kind)

    return [
        [[text(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in section]
        for section in table.sections
    ]


def _number(cell: int | float | Spread | None, kind: Kind) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, Spread):
        # A published percentage keeps the digits that its source prints.
        return str(cell) if kind in ("points", "days", "whole") else _scaled(cell, kind)
    mean = f"{cell.mean:.2f}" if kind == "points" else _scaled(cell.mean, kind)
    if cell.deviation is None or kind == "count":
        return mean
    deviation = f"{cell.deviation:.2f}" if kind == "points" else _scaled(cell.deviation, kind)
    return f"{mean} ± {deviation}"


def _scaled(value: float, kind: Kind) -> str:
    if kind == "count":
        return human(value)
    if kind == "seconds":
        return f"{value:.1f} s" if value < 600 else f"{value / 3600:.2f} h"
    return f"{value:.2f}"


def _left(column: Column) -> bool:
    return column.kind == "text"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(_escape(cell) for cell in cells) + r" \\"


def _escape(text: str) -> str:
    return re.sub(r"^-(?=\d)", "$-$", escape(text).replace("±", "$\\pm$"))


def _spans(columns: Sequence[Column]) -> list[str]:
    """Write the line of groups above the heads, with a rule under each; nothing where there are no groups."""
    runs: list[tuple[str, int, int]] = []
    for index, column in enumerate(columns, 1):
        if runs and runs[-1][0] == column.group:
            runs[-1] = (column.group, runs[-1][1], index)
        else:
            runs.append((column.group, index, index))
    if all(not group for group, _, _ in runs):
        return []
    heads = [f"\\multicolumn{{{last - first + 1}}}{{c}}{{{_escape(group)}}}" for group, first, last in runs]
    rules = [f"\\cmidrule(lr){{{first}-{last}}}" for group, first, last in runs if group]
    return [" & ".join(heads) + r" \\", "".join(rules)]
