"""Make the page of results folders: what stands on it, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from analysis.fronts.found import found
from analysis.fronts.selected_table import counts, notes, rows
from analysis.output.files import default_out, save
from analysis.paper.baselines import is_imagenet
from analysis.paper.layout import texts
from analysis.paper.measured import data_name
from analysis.paper.published import published
from analysis.paper.tables import tables
from analysis.report.facts import classes_of, cost_of, environment_of, facts_of, seeds_of
from analysis.report.int8_table import TITLE, int8_table
from analysis.report.interactive import interactive
from analysis.report.page import Page, Table, render
from analysis.report.pictures import pictures
from analysis.trials.read import read
from analysis.trials.trial import Results
from ofb_ray.results.files import SWEEP_FILE
from ofb_ray.results.store import readable

REPORT_FILE = "report.html"
RETRY = (
    "A trial that failed for its numbers (NaN) fails again; after another cause the sweep's command with "
    "--retry-failed goes on from its checkpoint."
)
# Their published rows say something beside trials on ImageNet alone.
IMAGENET_TABLES = ("main", "swin", "search-cost")
UNFINISHED = ("running", "queued", "died")


def report(folders: Sequence[str | Path], out: str | Path | None = None) -> str:
    """Write `report.html` and say where it is.

    Args:
        folders: results folders or their URIs; their sweeps may still be running.
        out: folder or URI for the file; by default `analysis` in the folder, or beside the first of several.
    Raises:
        InputError: no results folder, or the file cannot be written.
    """
    results = read(folders)
    data = page_of(results, folders)
    folder = out or default_out(folders, results)
    save({REPORT_FILE: data}, folder)
    return f"{counts(results)}\nwrote {REPORT_FILE} ({len(data) / 1e6:.1f} MB) in {folder}; open it in a browser"


def page_of(results: Results, folders: Sequence[str | Path]) -> bytes:
    """Make the page as bytes.

    Args:
        folders: as the user gave them: commands on the page name these.
    """
    page = content(results, folders)
    return render(replace(page, pictures=pictures(results, folders)), interactive(results, page.facts))


def content(results: Results, folders: Sequence[str | Path]) -> Page:
    """Gather what the page says, without its pictures and its interactive front.

    Args:
        folders: as the user gave them.
    """
    given = {readable(folder).resolve(): str(folder) for folder in folders}
    facts = facts_of(results, {folder: given.get(folder.resolve(), str(folder)) for folder in results.folders})
    environment = [("seeds", seeds_of(results)), *classes_of(results), *environment_of(results)]
    return Page(
        title=results.name,
        question=results.question,
        found=found(results),
        counts=counts(results),
        written=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        open=any(results.by_status(status) for status in UNFINISHED),
        facts=facts,
        tables=_tables(results),
        notes=notes(results),
        problems=results.problems,
        environment=environment if results.trials else [],
        costs=cost_of(results),
        sweep_files=_sweep_files(results),
        retry=RETRY,
    )


def _tables(results: Results) -> list[Table]:
    head, dense, selected = rows(results)
    if not (dense or selected):
        return []
    first = [Table("The selected trial of each budget", head, [*dense, *selected])]
    hidden = () if is_imagenet(results) else IMAGENET_TABLES
    hidden = hidden if _is_published_transfer(results) else (*hidden, "transfer")
    shown = [table for table in tables(results) if table.name not in hidden]
    small = int8_table(results)
    first += [Table(TITLE, *small)] if small else []
    return first + [Table(table.title, *texts(table)) for table in shown]


def _is_published_transfer(results: Results) -> bool:
    """Whether trials are on a data set that published transfer results are on: beside others those rows say nothing."""
    known = {row.data for row in published("transfer")}
    return any(data_name(trial.record) in known for trial in results.trials if trial.record)


def _sweep_files(results: Results) -> dict[str, str]:
    files = [folder / SWEEP_FILE for folder in results.folders]
    many = len(files) > 1
    return {
        f"{path.parent.name}/{SWEEP_FILE}" if many else SWEEP_FILE: path.read_text(encoding="utf-8", errors="replace")
        for path in files
        if path.exists()
    }
