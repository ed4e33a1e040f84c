"""Make the paper's result tables: published rows with their sources, and beside or below them what was measured.

A trial's spec says which table it is in. `main`: any network but Swin; `swin`: Swin, both without transfers;
`transfer`: pretrained weights on another data set than ImageNet-1k; `search-cost`: all. A part of the method
(`measured.FULL_METHOD`) that is off keeps a trial out of all of them: it is an ablation's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from analysis.fronts.budgets import order
from analysis.fronts.seeds import Setting, Spread
from analysis.paper.layout import OURS, PUBLISHED, Cell, Column, Footnote, PaperTable
from analysis.paper.measured import (
    FULL_METHOD,
    data_label,
    data_name,
    dense,
    first,
    full_method,
    is_imagenet,
    is_swin,
    is_transfer,
    model_label,
    over,
    start_of,
    subnet,
    unfinished,
)
from analysis.paper.published import Published, published
from analysis.trials.compare import spec_value
from analysis.trials.trial import Results
from ofb_ray.results.history import device_of
from ofb_ray.results.records import Record

_PRINTED = 0.05e9  # OFB prints its MACs to a tenth of a G
_SECONDS_PER_DAY = 86_400
_ACCURACY = (
    Column("network", "network"),
    Column("backbone", "backbone"),
    Column("data", "data"),
    Column("published_macs", "MACs", "count", PUBLISHED),
    Column("published_params", "params", "count", PUBLISHED),
    Column("published_top1", "top-1", "points", PUBLISHED),
    Column("published_top5", "top-5", "points", PUBLISHED),
    Column("source", "source", "text", PUBLISHED),
    Column("macs", "MACs", "count", OURS),
    Column("params", "params", "count", OURS),
    Column("top1_test", "top-1 test", "points", OURS),
    Column("top5_test", "top-5 test", "points", OURS),
    Column("seeds", "seeds", "whole", OURS),
)
_COST = (
    Column("method", "method"),
    Column("backbone", "backbone"),
    Column("data", "data"),
    Column("published_gpu_days", "GPU days", "days", PUBLISHED),
    Column("source", "source", "text", PUBLISHED),
    Column("gpu_days", "GPU days", "days", OURS),
    Column("search_seconds", "search", "seconds", OURS),
    Column("dense_seconds", "dense training", "seconds", OURS),
    Column("device", "device", "text", OURS),
    Column("seeds", "seeds", "whole", OURS),
)
_MEAN = "Ours: mean ± standard deviation over the seeds, of each seed the trial of highest held-out top-1."
_EMPTY = "An empty cell is a number that nobody measured or that the source does not print."
_BASELINES = (
    "Published rows start from ImageNet-1k weights without a teacher, each from its method's own source; rivals of "
    "other starts stand in analysis/reference/imagenet.csv."
)

Row = tuple[Cell, ...]


def main_table(results: Results) -> PaperTable:
    """Make the table of DeiT: published rows, with ours in OFB's rows of the same target, all else of ours below."""
    return _accuracy("main", "OFB and rivals on DeiT", "DeiT", results, lambda record: not is_swin(record))


def swin_table(results: Results) -> PaperTable:
    """Make the same for Swin. OFB's Swin rows stand in a comment of its source, and no code for them was released."""
    return _accuracy("swin", "OFB and rivals on Swin", "Swin", results, is_swin)


def transfer_table(results: Results) -> PaperTable:
    """Make the table of pretrained networks on other data sets: published rows and ours, by data set."""
    ours = [each for each in full_method(results) if is_transfer(first(each))]
    rows = published("transfer")
    names = list(dict.fromkeys([row.data for row in rows] + [data_name(first(each)) for each in ours]))
    sections = []
    for name in names:
        here = [each for each in ours if data_name(first(each)) == name]
        known = tuple(_published(row) for row in rows if row.data == name)
        sections.append(known + _dense_rows(here) + tuple(_measured(each) for each in here))
    notes = (_MEAN, _EMPTY, "OFB's own numbers on these data sets are not known to this project.", *unfinished(results))
    return PaperTable("transfer", "Transfer to other data sets", _ACCURACY, tuple(sections), len(ours), notes)


def search_cost_table(results: Results) -> PaperTable:
    """Make the table of GPU days of a search: published, and what the records of finished trials measured."""
    known = [
        (row.method, row.backbone, row.data, row.search_gpu_days, Footnote(_cited(row)), *[None] * 5)
        for row in published("search_cost")
    ]
    ours = full_method(results)
    notes = (
        "Published GPU days are of GPUs that the sources mostly do not name: they compare with ours as orders of "
        "magnitude. Ours: time of the search phase of one trial, without dense training and fine-tuning; mean ± "
        "standard deviation over the seeds. GPU days are empty where no GPU was used.",
        *unfinished(results),
    )
    sections = (tuple(known), tuple(_cost_row(each) for each in ours))
    return PaperTable("search-cost", "Cost of the search", _COST, sections, len(ours), notes)


def _accuracy(name: str, title: str, family: str, results: Results, belongs: Callable[[Record], bool]) -> PaperTable:
    ours = [each for each in full_method(results) if belongs(first(each)) and not is_transfer(first(each))]
    rows = [row for row in published() if row.backbone.startswith(family) and _comparable(row)]
    rows.sort(key=lambda row: (-(row.macs or 0), row.method))
    best = sorted(ours, key=order, reverse=True)
    by_row: dict[str, Setting] = {row.method: each for row in rows for each in best if _is_row(each, row)}
    left = [each for each in ours if each not in by_row.values()]
    sections = (
        tuple(_published(row, by_row.get(row.method)) for row in rows),
        _dense_rows(left) + tuple(_measured(each) for each in left),
    )
    notes = (_MEAN, _EMPTY, _BASELINES, *unfinished(results))
    return PaperTable(name, title, _ACCURACY, sections, len(ours), notes)


def _comparable(row: Published) -> bool:
    """Whether it is OFB's row, a dense network, or of the plain start with MACs in its own source and no ablation."""
    if row.method.startswith("OFB"):
        return True
    if "rivals" in row.table or "-only" in row.method:
        return False
    return row.macs is not None and row.start == "plain" and (row.own or row.table == "baselines")


def _is_row(setting: Setting, row: Published) -> bool:
    """Whether ours has the target of an OFB row, on the same data, from DeiT's or Swin's weights without a teacher."""
    record = first(setting)
    same = row.method.startswith("OFB") and is_imagenet(record) and record.budget.resource == "macs"
    same = same and start_of(record) == "plain" and str(spec_value(record, "model.name")).startswith(("deit_", "swin_"))
    return same and abs(record.budget.target - (row.macs or 0)) < _PRINTED


def _published(row: Published, ours: Setting | None = None) -> Row:
    backbone = row.backbone.partition(" (")[0]
    numbers = (row.macs, row.params, row.top1, row.top5, Footnote(_cited(row)))
    return (row.method, backbone, row.data, *numbers, *(_ours(ours) if ours else [None] * 5))


def _cited(row: Published) -> str:
    return f"{row.source} ({row.note})" if row.note else row.source


def _measured(setting: Setting) -> Row:
    record = first(setting)
    return (_name(setting), _model(record), data_label(record), *[None] * 5, *_ours(setting))


def _model(record: Record) -> Cell:
    name, shape = model_label(record)
    return Footnote(f"{name} with {shape}", name) if shape else name


def _ours(setting: Setting) -> Iterable[Cell]:
    columns = ("macs", "params", "top1_test", "top5_test")
    return [*(over(setting.trials, subnet(column)) for column in columns), setting.n]


def _dense_rows(settings: list[Setting]) -> tuple[Row, ...]:
    """Make a row of the dense network of each kind, over the seeds of the setting that has most."""
    kinds: dict[tuple[str, Cell, str], Setting] = {}
    for each in settings:
        record = first(each)
        key = (_sweep(each), _model(record), data_label(record))
        if key not in kinds or each.n > kinds[key].n:
            kinds[key] = each
    columns = ("macs", "params", "top1_test", "top5_test")
    return tuple(
        (f"{name}, dense", model, data, *[None] * 5, *(over(each.trials, dense(c)) for c in columns), each.n)
        for (name, model, data), each in kinds.items()
    )


def _cost_row(setting: Setting) -> Row:
    record = first(setting)
    days = over(setting.trials, lambda record: record.gpu_seconds.get("search"))
    if days is not None:
        deviation = None if days.deviation is None else days.deviation / _SECONDS_PER_DAY
        days = Spread(days.mean / _SECONDS_PER_DAY, deviation, days.n)
    searched = over(setting.trials, lambda record: record.seconds.get("search"))
    trained = over(setting.trials, lambda record: record.seconds.get("dense"))
    device = device_of(record)
    time = (days, searched, trained)
    return (_name(setting), _model(record), data_label(record), None, None, *time, device, setting.n)


def _name(setting: Setting) -> str:
    """Name the sweep, the budget, and the values of its grid; that the method is whole goes without saying."""
    record = first(setting)
    grid = {k: v for k, v in (setting.trials[0].explored or {}).items() if k not in record.params_explored}
    parts = [record.budget.label, *(f"{key}={grid[key]}" for key in grid if key not in FULL_METHOD)]
    parts += ["promoted"] * setting.trials[0].promoted
    return f"{_sweep(setting)} at {', '.join(parts)}"


def _sweep(setting: Setting) -> str:
    """Return the sweep's name; of several that are one experiment, the first and how many more."""
    names = list(dict.fromkeys(trial.record.sweep for trial in setting.trials if trial.record))
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
