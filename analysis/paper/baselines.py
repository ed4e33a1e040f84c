"""Choose the published results to show beside one's own: those that compare, once each, with their sources."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.names import STARTS
from analysis.paper.measured import is_imagenet as is_imagenet_record
from analysis.paper.measured import start_of
from analysis.paper.published import Published, published
from analysis.trials.compare import spec_value
from analysis.trials.dominance import non_dominated
from analysis.trials.trial import Results, Trial
from ofb_ray.errors import InputError
from ofb_ray.results.history import images_of
from ofb_ray.results.records import Record

BACKBONES = {"deit": "DeiT", "swin": "Swin"}
AXES = {"macs": "macs", "params": "params"}
ACCURACIES = {"top1_test": "top1", "top5_test": "top5"}
SAME_COST, SAME_ACCURACY = 0.03, 0.15  # a share, and points: closer rows of one method are the same row
# The same method under the name of another paper; by their numbers Isomorphic's `SViTE` is the structured one.
ALIASES = {"NVP": "NViT", "SViTE": "S2ViTE", "SAViT+KD": "SAViT", "EViT-DeiT": "EViT"}
MANY = 12  # curves that can be told apart
COLUMNS = ("method", "backbone", "start", "top1", "top5", "params", "macs", "table", "source", "own", "note")


@dataclass(frozen=True)
class Baseline:
    """A published result at its position in the figure; `label` is empty where another's names the method."""

    row: Published
    x: float
    y: float
    label: str

    @property
    def start(self) -> str:
        """The fairness class."""
        return self.row.start

    @property
    def is_ofb(self) -> bool:
        """Whether it is a row of OFB itself."""
        return self.row.method.startswith("OFB")


def baselines(
    backbone: str, x: str = "macs", y: str = "top1_test", starts: Sequence[str] = ("plain",)
) -> list[Baseline]:
    """List the published ImageNet-1k results of one family of backbones, and OFB's own whatever their class.

    A method's own source is preferred to another paper's; a row that two sources print stands once.

    Args:
        backbone: `deit` or `swin`.
        x, y: objectives; published are `macs` and `params`, `top1_test` and `top5_test`.
        starts: fairness classes (`analysis.names.STARTS`), or `all`.

    Raises:
        InputError: an unknown class or backbone, or an objective that nobody publishes.
    """
    if backbone not in BACKBONES:
        raise InputError(f"no published results of `{backbone}`; allowed: {', '.join(BACKBONES)}", key="--rivals")
    if x not in AXES:
        raise InputError(f"published results have no `{x}`; allowed with --rivals: {', '.join(AXES)}", key="--x")
    if y not in ACCURACIES:
        allowed = ", ".join(ACCURACIES)
        raise InputError(f"published results are on the test split; allowed with --rivals: {allowed}", key="--y")
    if unknown := [start for start in starts if start not in (*STARTS, "all")]:
        raise InputError(f"`{unknown[0]}` is no class; allowed: all, {', '.join(STARTS)}", key="--rivals-start")
    rows: list[tuple[Published, float, float]] = []
    for row in published():
        cost, accuracy = getattr(row, AXES[x]), getattr(row, ACCURACIES[y])
        wanted = "all" in starts or row.start in starts or row.method.startswith("OFB")
        ours = BACKBONES[backbone] in row.backbone or (
            row.method.startswith("OFB") and BACKBONES[backbone] in row.method
        )
        if wanted and ours and cost is not None and accuracy is not None:
            rows.append((row, cost, accuracy))
    return _labelled(_distinct(rows))


def own_starts(results: Results) -> tuple[str, ...]:
    """List the fairness classes of one's own trials, in the order of `STARTS`; `plain` where there is none yet."""
    starts = {start_of(trial.record) for trial in results.trials if trial.record}
    return tuple(start for start in STARTS if start in starts) or ("plain",)


def backbone_of(results: Results) -> str:
    """Return `swin` where the trials' model is one, else `deit`."""
    return "swin" if any("swin" in _model(trial) for trial in results.trials) else "deit"


def is_imagenet(results: Results) -> bool:
    """Whether all records are of a folder of pictures with 1,000 classes at 224 pixels and ImageNet-1k's images."""
    records = [trial.record for trial in results.trials if trial.record]

    def fits(record: Record) -> bool:
        if not all(isinstance(spec_value(record, part), dict) for part in ("data", "model")):
            return False
        size, classes = spec_value(record, "data.image_size"), spec_value(record, "model.args.num_classes")
        known = images_of(record, "train") is None or is_imagenet_record(record)
        folder = spec_value(record, "data.name") == "folder"
        return known and folder and size in (None, 224) and classes in (None, 1000)

    return bool(records) and all(map(fits, records))


def classes(rows: Sequence[Baseline]) -> dict[str, str]:
    """Describe the fairness classes of the baselines that are not OFB's own, in words, in the order of `STARTS`."""
    present = {baseline.start for baseline in rows if not baseline.is_ofb}
    return {start: label for start, label in STARTS.items() if start in present}


def footnote(rows: Sequence[Baseline]) -> str:
    """Say what a reader of the figure must know of the published points."""
    methods = sorted({family(baseline.row) for baseline in rows if not baseline.is_ofb})
    joined = " Lines join what one method can reach." if curves(rows) else ""
    return (
        f"Published, on ImageNet-1k's validation split: {len(rows)} results of OFB, {', '.join(methods)}; "
        f"the source of each is in rivals.csv.{joined}"
    )


def baselines_csv(rows: Sequence[Baseline]) -> bytes:
    """Write `rivals.csv`: one row a drawn result, with its source."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(baseline.row, column)) for column in COLUMNS] for baseline in rows)
    return text.getvalue().encode()


def family(row: Published) -> str:
    """Return a method's name without its sizes and settings: `S2ViTE` for `S2ViTE-B`, `dense DeiT` for `DeiT-S`."""
    dense = row.method.lower().startswith(("dense", "baseline"))
    name = row.backbone if dense else row.method.split(" (")[0]
    if "distilled" in row.method.lower() and row.backbone == f"{name[:6]}-dist":
        return "dense DeiT distilled"
    if row.method.startswith("OFB"):
        return name.replace("DeiT-", "").replace("Swin-", "")
    if dense or name == row.backbone or name.startswith(f"{row.backbone}-"):
        return f"dense {re.sub(r'-[TSBL](?=-|$)', '', name)}"
    name = re.sub(r"(-\d+%| .*)$", "", name)
    name = re.sub(r"(-(JS|PS|[TSBLH])|(?<=[A-Z]{3})\d)$", "", name)
    return ALIASES.get(name, name)


def curves(rows: Sequence[Baseline]) -> list[list[Baseline]]:
    """List by method the results on its own front, by cost, where there are several; none where curves are too many."""
    groups: dict[tuple[str, str], list[Baseline]] = {}
    for baseline in rows:
        if not baseline.is_ofb:
            groups.setdefault((family(baseline.row), baseline.start), []).append(baseline)
    fronts = []
    for some in groups.values():
        flags = non_dominated([baseline.y for baseline in some], [baseline.x for baseline in some])
        best = sorted(
            (baseline for baseline, flag in zip(some, flags, strict=True) if flag), key=lambda baseline: baseline.x
        )
        fronts += [best] * (len(best) > 1)
    return fronts if len(fronts) <= MANY else []


def _distinct(known: Sequence[tuple[Published, float, float]]) -> list[tuple[Published, float, float]]:
    own = {(family(row), row.backbone) for row, _, _ in known if row.own}
    kept: list[tuple[Published, float, float]] = []
    for row, cost, accuracy in sorted(known, key=lambda each: not each[0].own):
        name = family(row)
        if not row.own and (name, row.backbone) in own:
            continue
        twins = [each for each in kept if (family(each[0]), each[0].start) == (name, row.start)]
        same = [abs(c / cost - 1) < SAME_COST and abs(a - accuracy) < SAME_ACCURACY for _, c, a in twins]
        if not row.own:
            same += [_is_reprint(row, twin, name) for twin, _, _ in twins]
        if not any(same):
            kept.append((row, cost, accuracy))
    return kept


def _is_reprint(row: Published, twin: Published, name: str) -> bool:
    """Whether it is another's network once more: a dense one, or the same accuracy and size with other MACs."""
    if row.backbone != twin.backbone:
        return False
    if name.startswith("dense "):
        return True
    sizes = row.params is not None and twin.params is not None and abs(row.params / twin.params - 1) < 0.01
    return sizes and row.top1 == twin.top1


def _labelled(rows: Sequence[tuple[Published, float, float]]) -> list[Baseline]:
    """Label each of OFB's rows, and of each other method the result that stands farthest from all others."""
    positions = np.array([(math.log(cost), accuracy) for _, cost, accuracy in rows]).reshape(-1, 2)
    positions /= np.where(np.ptp(positions, axis=0) > 0, np.ptp(positions, axis=0), 1) if len(positions) else 1
    distances = [float(np.sort(np.hypot(*(positions - own).T))[1:3].sum()) for own in positions]
    groups: dict[tuple[str, str], int] = {}
    for number, (row, _, _) in enumerate(rows):
        key = (family(row), row.start)
        if key not in groups or distances[number] > distances[groups[key]]:
            groups[key] = number
    labelled = [
        Baseline(row, cost, accuracy, family(row) if groups[family(row), row.start] == number else "")
        for number, (row, cost, accuracy) in enumerate(rows)
    ]
    return sorted(labelled, key=lambda baseline: (list(STARTS).index(baseline.start), baseline.x, -baseline.y))


def _model(trial: Trial) -> str:
    return str(spec_value(trial.record, "model.name") or "") if trial.record else ""


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if value < 1000 else f"{value:.0f}"
    return str(value)
