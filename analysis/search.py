"""`ofb-ray inspect RESULTS... [--trial N] [--axes A,B] [--out DIR]`: what the search found, in pictures."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

import matplotlib as mpl
from matplotlib.figure import Figure

from analysis import arguments as arguments_of
from analysis.drawing.style import STYLE, figure_files
from analysis.fronts.budgets import budgets
from analysis.output.command import answer, as_given
from analysis.output.files import default_out, save
from analysis.searches import importances, maps, slices, trajectories, widths
from analysis.searches.explored import groups
from analysis.searches.sentences import decisions, importance_line, kept, title_of
from analysis.searches.trace import trace_of
from analysis.trials.read import read
from analysis.trials.trial import Results, Trial
from ofb_ray.errors import InputError
from ofb_ray.inputs import Parser
from ofb_ray.results.files import TRACE_FILE

MOST_MAPS = 4
_WIDTH, _LINES = 100, 8


@dataclass(frozen=True)
class SearchOptions:
    """What to show: one trial (a number, or sweep/number where several sweeps are read) instead of the selected ones.

    Args:
        axes: of the maps, by name; none: `maps.MOST` of them, spread over the network.
        order: of the units in the maps.
    """

    trial: str | None = None
    axes: tuple[str, ...] = ()
    order: maps.Order = "rank"


def analyse(folders: Sequence[str | Path], out: str | Path | None = None, options: SearchOptions | None = None) -> str:
    """Write `widths`, `maps-<trial>`, `trajectories`, `importances`, `slices` (PNG, PDF, SVG) and `importances.csv`.

    Args:
        folders: results folders or their URIs; the sweeps may still be running.
        out: where the files go, a folder or a URI; by default `analysis` in the folder, or beside the first of several.
    Returns:
        A few sentences of facts, and the names of the files.
    Raises:
        InputError: no results folder, no such trial or axis, or the files cannot be written.
    """
    results, options = read(folders), options or SearchOptions()
    shown = _shown(results, options.trial)
    files, facts = _overview(results)
    tried = [(title_of(trial), record) for trial in shown if (record := trial.record) is not None]
    with mpl.rc_context(STYLE):
        files |= figure_files(trajectories.figure(tried), "trajectories")
        traces = {str(trial.name): (trial, trace_of(trial, folders)) for trial in _spread(shown)}
        for name, (trial, trace) in traces.items():
            if trace is not None:
                picture = maps.figure(
                    trace, f"What the search saw: trial {title_of(trial)}", options.axes, options.order
                )
                files |= figure_files(picture, f"maps-{_file_part(name)}")
    if missing := [name for name, (_, trace) in traces.items() if trace is None]:
        facts.append(f"No maps of {', '.join(missing)}: no {TRACE_FILE} (an older trial, or its search did not end).")
    facts += [decisions(record, f"Trial {title}") for title, record in tried[:_LINES]]
    folder = out or default_out(folders, results)
    save(files, folder)
    return as_given(_terminal_summary(results, facts, list(files), folder), folders)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 with one line on stderr for bad input."""
    parser = Parser(prog="python -m analysis.search", description=__doc__)
    arguments_of.inspect(parser)
    arguments = parser.parse_args(argv)
    return answer(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> str:
    """Draw the pictures that the arguments ask for, and say what they show.

    Raises:
        InputError: as of `analyse`.
    """
    axes = tuple(name for name in arguments.axes.split(",") if name)
    return analyse(arguments.results, arguments.out, SearchOptions(arguments.trial, axes, arguments.order))


def _overview(results: Results) -> tuple[dict[str, bytes], list[str]]:
    """Draw what does not depend on single trials, widths, importances and slices, and say what they show."""
    explored, facts = groups(results), []
    by_budget = [importances.importance(group) for group in explored]
    files = {"importances.csv": importances.importances_csv(by_budget).encode()}
    rows, which = widths.subnets(results), widths.chosen(results)[0]
    with mpl.rc_context(STYLE):
        drawn: dict[str, Figure] = {"importances": importances.figure(by_budget), "slices": slices.figure(explored)}
        for number, same in enumerate(rows or [[]], 1):
            drawn["widths" if number == 1 else f"widths-{number}"] = widths.figure(same, which)
            facts += [kept(same, which)] if same else []
        for name, figure in drawn.items():
            files |= figure_files(figure, name)
    if any(group.parameters for group in explored):
        facts += [importance_line(each) for each in by_budget[:_LINES]]
    return files, facts


def _shown(results: Results, wanted: str | None) -> list[Trial]:
    """Choose the wanted trial, else the selected one of each budget.

    Raises:
        InputError: there is no such trial, or it has no record yet.
    """
    if wanted is None:
        return [budget.best for budget in budgets(results) if budget.best is not None]
    known = {str(trial.name): trial for trial in results.trials}
    if wanted not in known:
        few = ", ".join(list(known)[:5]) + ", ..." * (len(known) > 5)
        raise InputError(f"there is no trial {wanted}; there are {few or 'none'}", key="--trial")
    if known[wanted].record is None:
        raise InputError(f"trial {wanted} has no record yet ({known[wanted].status}); choose another", key="--trial")
    return [known[wanted]]


def _spread(trials: Sequence[Trial]) -> list[Trial]:
    """Choose at most `MOST_MAPS`, both ends among them."""
    last = len(trials) - 1
    if last < MOST_MAPS:
        return list(trials)
    return [trials[round(last * step / (MOST_MAPS - 1))] for step in range(MOST_MAPS)]


def _file_part(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name).strip("-")


def _terminal_summary(results: Results, facts: Sequence[str], files: Sequence[str], out: str | Path) -> str:
    lines = [f"{results.name}: {len(results.trials)} trials, {len(results.by_status('finished'))} finished"]
    lines += [line for fact in facts for line in wrap(fact, _WIDTH)] or ["No trial has ended: nothing to say yet."]
    lines += [f"Note: {problem}" for problem in results.problems[:2]]
    names = dict.fromkeys(name.rpartition(".")[0] for name in files if not name.endswith(".csv"))
    return "\n".join([*lines, "", f"In {out}: importances.csv, and as png, pdf and svg: {', '.join(names)}"])


if __name__ == "__main__":
    sys.exit(main())
