"""`ofb-ray front RESULTS... [--out DIR]`: the front of a sweep as table and figure, and what it says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from analysis import arguments as arguments_of
from analysis.arguments import AUTO, X, Y
from analysis.drawing import hypervolume_growth
from analysis.drawing.front import front_files
from analysis.drawing.style import STYLE, figure_files
from analysis.fronts import selected_table
from analysis.fronts.front_data import FrontData, front_data
from analysis.fronts.objectives import default_x, file_part, objective
from analysis.fronts.seeds import Spread, settings, spread
from analysis.output.command import answer, as_given
from analysis.output.files import default_out, save
from analysis.output.terminal_summary import terminal_summary
from analysis.paper.baselines import Baseline, backbone_of, baselines, baselines_csv, is_imagenet, own_starts
from analysis.paper.measured import data_name
from analysis.trials.read import read
from analysis.trials.table import table
from analysis.trials.trial import Results
from ofb_ray.errors import InputError
from ofb_ray.inputs import Parser


@dataclass(frozen=True)
class FrontOptions:
    """What to draw: objectives by name (None: the default), and published results of a family of backbones."""

    x: str | None = None
    y: str | None = None
    baselines: str | None = None
    starts: tuple[str, ...] = ()


def analyse(results: str | Path, out: str | Path | None = None) -> str:
    """Write `front.csv`, the figures, `table.md` and `table.tex`, each atomically, and say what was found.

    Args:
        results: a results folder or its URI; the sweep may still be running.
        out: where the files go, a folder or a URI; by default `results`/analysis.
    Returns:
        One screen of plain text: at most 30 lines of 100 columns (a long path may be wider).
    Raises:
        InputError: no results folder, or the files cannot be written.
    """
    return analyse_all([results], out)


def analyse_all(
    folders: Sequence[str | Path], out: str | Path | None = None, options: FrontOptions | None = None
) -> str:
    """Do the same for several folders as one: by default the files go to `analysis` beside the first folder.

    Args:
        options: other objectives than held-out top-1 over MACs have files of their own.
    """
    results = read(folders)
    text = _write(results, out or default_out(folders, results), options or FrontOptions())
    return as_given(text, folders)


def front_table(results: Results, data: FrontData) -> pd.DataFrame:
    """Make `analysis.trials.table.table` with `on_front` of this pair of objectives, and more columns at the end.

    `x` and `y` where they are not among the columns; `setting` (budget and point of the grid), `seeds`: how many the
    setting was run with; and for settings with several, mean and standard deviation of top-1 val and test.
    """
    frame = table(results)
    front = {point.trial.folder for point in data.shown + data.collapsed if point.on_front}
    frame["on_front"] = [trial.folder in front for trial in results.trials]
    for each in (data.x, data.y):
        if each.name not in frame:
            frame[each.name] = pd.array([each.of(trial) for trial in results.trials], dtype="Float64")
    by_trial = {trial.folder: each for each in settings(results) for trial in each.trials}
    groups = [by_trial.get(trial.folder) for trial in results.trials]
    frame["setting"] = [setting.name if setting else None for setting in groups]
    frame["seeds"] = pd.array([setting.n if setting else None for setting in groups], dtype="Int64")
    for column in ("top1_val", "top1_test"):
        spreads: list[Spread | None] = []
        for setting in groups:
            trials = setting.trials if setting and setting.n > 1 else ()
            subnets = [trial.record.subnet for trial in trials if trial.record]
            spreads.append(spread([getattr(subnet, column) for subnet in subnets]))
        frame[f"{column}_mean"] = [over.mean if over else None for over in spreads]
        frame[f"{column}_sd"] = [over.deviation if over else None for over in spreads]
    return frame


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 with one line on stderr for bad input."""
    parser = Parser(prog="python -m analysis.pareto", description=__doc__)
    arguments_of.front(parser)
    arguments = parser.parse_args(argv)
    return answer(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> str:
    """Write the front that the arguments ask for, and say what was found.

    Raises:
        InputError: as of `analyse`; an objective or a class that is not known.
    """
    starts = tuple(start for start in arguments.rivals_start.split(",") if start)
    options = FrontOptions(arguments.x, arguments.y, arguments.rivals, starts)
    return analyse_all(arguments.results, arguments.out, options)


def _write(results: Results, out: str | Path, options: FrontOptions) -> str:
    usual = default_x(results)
    x, y = options.x or (X if options.baselines else usual), options.y or ("top1_test" if options.baselines else Y)
    published, remarks = _baselines(results, options, x, y)
    data = front_data(results, objective(x, results, "x"), objective(y, results, "y"))
    if data.x.label == data.y.label:
        raise InputError(f"`{y}` is on the x axis already; name another objective", key="--y")
    pair = "" if (x, y) == (usual, Y) else f"-{file_part(y)}-{file_part(x)}"
    files = {f"front{pair}.csv": front_table(results, data).to_csv(index=False).encode()}
    files |= {
        "table.md": selected_table.markdown(results).encode(),
        "table.tex": selected_table.latex(results).encode(),
    }
    if published:
        name = "rivals" if x == X and y == "top1_test" else f"rivals{pair}"
        files |= front_files(results, x, y, published, name) | {f"{name}.csv": baselines_csv(published)}
    else:
        files |= front_files(results, x, y, name=f"front{pair}")
    with mpl.rc_context(STYLE):
        grown = hypervolume_growth.growth_figure(results, data.x, data.y)
        files |= figure_files(grown, f"hypervolume{pair}") if grown else {}
    save(files, out)
    return terminal_summary(results, out, data, list(files), remarks)


def _baselines(results: Results, options: FrontOptions, x: str, y: str) -> tuple[list[Baseline], list[str]]:
    """Choose the published results to draw, and say what they compare."""
    if options.baselines is None:
        if options.starts:
            raise InputError("needs --rivals, which draws published results", key="--rivals-start")
        return [], []
    starts = options.starts or own_starts(results)
    published = baselines(backbone_of(results) if options.baselines == AUTO else options.baselines, x, y, starts)
    remarks = [f"Published results are ImageNet top-1 of the classes {', '.join(starts)}, so the y axis is {y}."]
    data = {data_name(trial.record) for trial in results.trials if trial.record}
    if data and not is_imagenet(results):
        remarks.append(f"The trials' data are {', '.join(sorted(data))}, not ImageNet: the accuracies do not compare.")
    return published, remarks


if __name__ == "__main__":
    sys.exit(main())
