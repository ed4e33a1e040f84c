"""Published results beside one's own: only those that compare, each once, each with its source, all readable."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import pytest

from analysis import figures
from analysis.drawing import style
from analysis.fronts.front_data import front_data
from analysis.fronts.objectives import objective
from analysis.names import STARTS
from analysis.output.terminal_summary import terminal_summary
from analysis.paper.baselines import (
    _distinct,
    backbone_of,
    baselines,
    baselines_csv,
    classes,
    family,
    is_imagenet,
    own_starts,
)
from analysis.paper.measured import start_of
from analysis.pareto import FrontOptions, analyse_all
from analysis.trials.read import read
from analysis.trials.trial import Results
from ofb_ray.results.records import BudgetOutcome, Network, Record
from tests.analysis.factory import record, write

DENSE = Network(macs=4_600_000_000, params=22_050_000, top1_val=79.0, top1_test=79.85)
IMAGENET = {"model": {"name": "deit_small_patch16_224"}, "data": {"name": "folder", "image_size": 224}}


def trial(number: int, ratio: float, top1: float) -> Record:
    """A made-up trial of DeiT-S on ImageNet."""
    macs, target = int(0.996 * ratio * DENSE.macs), int(ratio * DENSE.macs)
    subnet = Network(macs=macs, params=int(ratio * DENSE.params), top1_val=top1 - 0.5, top1_test=top1)
    budget = BudgetOutcome(label=f"{ratio:g}", resource="macs", target=target, used=0.996, minimum=470_000_000)
    return record(number, ratio, top1, dense=DENSE, subnet=subnet, spec=IMAGENET, budget=budget)


def imagenet(folder: Path) -> Results:
    """A sweep of six budgets."""
    cells = ((0.2, 73.6), (0.25, 74.4), (0.37, 75.7), (0.5, 76.5), (0.7, 78.2), (0.8, 78.8))
    return read([write(folder, [trial(number, *cell) for number, cell in enumerate(cells)])])


@pytest.mark.parametrize("backbone", ["deit", "swin"])
def test_ofb_stands_whole_beside_comparable_classes_only(backbone: str) -> None:
    found = baselines(backbone)
    own = [(baseline.y, round(baseline.x / 1e9, 1)) for baseline in found if baseline.is_ofb]
    expected = {
        "deit": [(75.0, 0.9), (76.1, 1.1), (78.0, 1.7), (80.3, 3.6), (81.7, 8.7)],
        "swin": [(76.5, 1.0), (79.9, 2.6), (80.5, 3.1)],
    }
    assert own == expected[backbone]
    assert {baseline.start for baseline in found if not baseline.is_ofb} == {"plain"}
    everyone = baselines(backbone, starts=("all",))
    assert len(everyone) > len(found)
    assert set(classes(everyone)) > {"plain"}
    assert list(classes(everyone)) == [start for start in STARTS if start in classes(everyone)]


def test_each_result_stands_once_and_by_its_own_source() -> None:
    found = baselines("deit", starts=("all",))
    for one, other in combinations([baseline for baseline in found if not baseline.is_ofb], 2):
        if family(one.row) == family(other.row) and one.start == other.start:
            assert abs(one.x / other.x - 1) >= 0.03 or abs(one.y - other.y) >= 0.15, (one.row, other.row)
    # Under another name (NVP is NViT, SViTE here S2ViTE), with other counts, or evaluated once more.
    methods = {baseline.row.method for baseline in found}
    assert not {"NVP-B (=NViT-B)", "SViTE-T", "SAViT+KD", "EViT-DeiT-S"} & methods
    assert {"NViT-B", "S2ViTE-T", "EViT fuse keep 0.7"} <= methods
    for backbone in ("deit", "swin"):
        dense = [
            baseline.row.backbone
            for baseline in baselines(backbone)
            if family(baseline.row) in ("dense DeiT", "dense Swin")
        ]
        assert len(dense) == len(set(dense)) == 3
    slim = [baseline for baseline in found if family(baseline.row) == "ViT-Slim" and baseline.row.backbone == "DeiT-S"]
    assert slim
    assert all(baseline.row.own for baseline in slim)
    for name in {family(baseline.row) for baseline in found}:
        assert any(baseline.label == name for baseline in found), name


def test_a_methods_own_source_is_preferred_to_other_papers() -> None:
    own = next(baseline.row for baseline in baselines("deit") if baseline.row.own and baseline.row.backbone == "DeiT-S")
    other = replace(own, own=False, top1=1.0, params=1.0, macs=1.0)
    assert [row for row, _, _ in _distinct([(other, 1.0, 1.0), (own, 3e9, 80.0)])] == [own]
    elsewhere = replace(other, backbone="DeiT-B")
    assert len(_distinct([(elsewhere, 1.0, 1.0), (own, 3e9, 80.0)])) == 2


def test_every_point_has_its_source_in_the_file() -> None:
    found = baselines("deit", starts=("all",))
    rows = list(csv.DictReader(io.StringIO(baselines_csv(found).decode())))
    assert len(rows) == len(found)
    assert all(row["source"].strip() and row["start"] in STARTS for row in rows)
    assert {row["macs"] for row in rows if row["method"] == "OFB-DeiT-A"} == {"900000000"}


def test_a_figure_with_many_rivals_has_no_two_labels_over_each_other(tmp_path: Path) -> None:
    found = baselines("deit")
    assert sum(bool(baseline.label) for baseline in found) >= 12
    with mpl.rc_context(figures.STYLE):
        figure = figures.front_figure(imagenet(tmp_path), "macs", "top1_test", found)
        figure.draw_without_rendering()
        axes = figure.axes[0]
        boxes = [text.get_window_extent() for text in axes.texts if text.get_text() in {r.label for r in found} - {""}]
        notes = [mpl.text.Text.get_window_extent(text) for text in axes.texts if text.get_text()]
    assert len(boxes) >= 12
    assert not any(one.overlaps(other) for one, other in combinations(notes, 2))
    assert "rivals.csv" in figure.get_supxlabel()
    legend = axes.get_legend()
    assert legend is not None
    assert {"published: OFB", f"published: {STARTS['plain']}"} <= {text.get_text() for text in legend.get_texts()}


def test_the_command_writes_picture_and_sources_and_says_what_it_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "KINDS", style.KINDS[2:])  # the quickest format
    write(tmp_path / "r", [record(0)])
    text = " ".join(analyse_all([tmp_path / "r"], options=FrontOptions(baselines="auto")).split())
    there = {path.name for path in (tmp_path / "r" / "analysis").iterdir()}
    assert {"rivals.svg", "rivals.csv", "front-top1_test-macs.csv"} <= there
    assert "front.svg" not in there
    assert "of the classes plain, so the y axis is top1_test" in text
    assert "data are digits, not ImageNet" in text


def test_they_are_offered_for_imagenet_alone(tmp_path: Path) -> None:
    for results, offered in ((imagenet(tmp_path / "a"), True), (read([write(tmp_path / "b", [record(0)])]), False)):
        assert is_imagenet(results) == offered
        what = front_data(results, objective("macs", results), objective("top1_val", results))
        assert ("--rivals deit" in terminal_summary(results, tmp_path, what, ["front.png"])) == offered


@pytest.mark.usefixtures("only_png")
def test_pictures_of_something_else_are_said_not_to_be_imagenet(tmp_path: Path) -> None:
    data = {"name": "folder", "image_size": 224, "root": "/data/flowers"}
    made = trial(0, 0.5, 90.0).model_copy(
        update={"spec": {**IMAGENET, "data": data}, "environment": {"train_images": 900, "val_images": 120}}
    )
    folder = write(tmp_path, [made])
    assert not is_imagenet(read([folder]))
    text = " ".join(analyse_all([folder], tmp_path / "out", FrontOptions(baselines="deit")).split())
    assert "data are flowers, not ImageNet" in text


def test_class_and_backbone_follow_the_trials(tmp_path: Path) -> None:
    taught = {**IMAGENET, "finetune": {"distill": {"teacher": "regnety_160"}}}
    swin = {**IMAGENET, "model": {"name": "swin_tiny_patch4_window7_224"}}
    plain, teacher, other = (
        read([write(tmp_path / str(n), [record(0, spec=spec)])]) for n, spec in enumerate((IMAGENET, taught, swin))
    )
    assert [own_starts(plain), own_starts(teacher)] == [("plain",), ("teacher",)]
    pretrained = {
        "deit_small_patch16_224": "plain",
        "deit_small_patch16_224.fb_in1k": "plain",
        "deit_small_distilled_patch16_224.fb_in1k": "teacher",
        "vit_tiny_patch16_224": "extra-data",
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k": "extra-data",
        "vit_small_patch16_224.augreg_in1k": "plain",
        "swin_tiny_patch4_window7_224": "plain",
        "swin_base_patch4_window7_224": "extra-data",
        "swin_base_patch4_window7_224.ms_in1k": "plain",
    }
    for name, start in pretrained.items():
        assert start_of(record(0, spec={"model": {"name": name, "pretrained": True}})) == start, name
    assert [backbone_of(plain), backbone_of(other)] == ["deit", "swin"]
