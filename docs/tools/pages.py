"""Write the parts of the reference that are made from the code: sweep keys, command line, files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from pydantic import BaseModel

import analysis.gate
import ofb_ray.cli
from docs.tools import command_line, status_states
from ofb_ray.config import SweepSpec
from ofb_ray.config import describe as keys
from ofb_ray.results import files as results_files
from ofb_ray.results import int8, records

# Older spellings of commands, `python -m analysis.report` and others, take their arguments from the same functions.
MAINS: tuple[Callable[[Sequence[str]], int], ...] = (
    ofb_ray.cli.main,
    analysis.gate.main,
)
# What lies as JSON in a results folder, in the order of its life.
FILES: tuple[type[BaseModel], ...] = (
    records.Record,
    records.BudgetOutcome,
    records.Network,
    results_files.TrialFile,
    results_files.Progress,
    results_files.Attempts,
    results_files.AttemptEnd,
    results_files.AttemptPosition,
    results_files.Death,
    results_files.GateDecision,
    results_files.LeaseFile,
    results_files.LatencyFile,
    results_files.LatencyRow,
    int8.Int8File,
    int8.FloatLayer,
    int8.Int8Latency,
    int8.Int8Ratio,
)
_TOP = "Top level"


def sweep_keys() -> str:
    """A section for each mapping of a sweep file, with all its keys."""
    lines: list[str] = []
    for path, model in keys.sections(SweepSpec):
        title = f"`{path}`" if path else _TOP
        lines += [f"## {title}", "", _first_paragraph(model), ""]
        lines += [*_stacked(_table(keys.keys(model, path)))]
    return "\n".join(lines)


def command_lines() -> str:
    """A section for each command, with all its arguments."""
    lines: list[str] = []
    for main in MAINS:
        for command in command_line.commands(command_line.parser_of(main)):
            lines += [f"## {command.name}", "", f"{_sentence(command.purpose)}", ""]
            lines += ["```console", command.usage, "```", ""]
            rows = [f"| {_code(each.usage)} | {_cell(_sentence(each.help))} |" for each in command.options]
            lines += _stacked(["| argument | meaning |", "|---|---|", *rows])
    return "\n".join(lines)


def files() -> str:
    """A section for each JSON file of a results folder and for what `record.json` holds, with their keys."""
    return models(*FILES)


def models(*shown: type[BaseModel]) -> str:
    """A section for each model: its docstring and its fields."""
    lines = []
    for model in shown:
        shown_keys = keys.keys(model)
        rows = [f"| `{key.name}` | {_cell(key.kind)} | {_cell(_sentence(key.description))} |" for key in shown_keys]
        lines += [f"### {model.__name__}", "", _first_paragraph(model), ""]
        lines += _stacked(["| key | type | meaning |", "|---|---|---|", *rows])
    return "\n".join(lines)


def _stacked(table: Iterable[str]) -> Iterator[str]:
    """A table whose cells are stacked on a phone, where its columns need no headings to be understood."""
    yield from ('<div class="stacked" markdown="1">', "", *table, "", "</div>", "")


def _table(rows: list[keys.Key]) -> Iterator[str]:
    yield "| key | type, default | unit, range | meaning |"
    yield "|---|---|---|---|"
    for key in rows:
        default = f"default `{key.default}`" if key.default and key.default != "see below" else key.default
        kind = f"{_cell(key.kind)}<br>{_cell(default) or '**must be given**'}"
        bounds = "<br>".join(_cell(part) for part in (key.unit, key.range.replace("`", "")) if part)
        yield f"| [](){{ #{anchor(key.name)} }}{_breakable(key.name)} | {kind} | {bounds} | {_cell(key.description)} |"


def anchor(name: str) -> str:
    """The anchor of a key on the page: its dotted name."""
    return name.replace("[]", "").replace("*", "name")


def _breakable(name: str) -> str:
    """A dotted name as code that may be broken behind its dots."""
    return f"<code>{name.replace('.', '.<wbr>').replace('*', '&#42;')}</code>"


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _cell(text: str) -> str:
    """Text that a cell of a table can hold."""
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = (part.replace("<", "&lt;").replace("*", "\\*") for part in parts[::2])
    return "`".join(parts)


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ")")) or not text else ".")


# What stands for each part in the Markdown of a page.
PARTS: dict[str, Callable[[], str]] = {
    "<!-- from the code: sweep keys -->": sweep_keys,
    "<!-- from the code: command line -->": command_lines,
    "<!-- from the code: files -->": files,
    "<!-- from the code: status -->": status_states.page,
}
